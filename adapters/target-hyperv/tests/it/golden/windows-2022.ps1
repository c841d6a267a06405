$Name = 'web-a.1'
$Key = 'wherry-key: k''1'
$Summary = 'make a machine of generation 2 with 2 processors, 1024 MiB of memory, 3 disks and 2 network adapters'
$Generation = 2
$Processors = 2
$MemoryBytes = 1073741824
$OldProcessor = $false
$SecureBoot = 'MicrosoftWindows'
$DiskPlaces = @(
    @{ File = 'web-a.1-1.vhdx'; Type = 'SCSI'; Number = 0; Location = 0 }
    @{ File = 'web-a.1.vhdx'; Type = 'SCSI'; Number = 0; Location = 1 }
    @{ File = 'web-a.1-2.vhdx'; Type = 'SCSI'; Number = 0; Location = 2 }
)
$CardPlaces = @(
    @{ Name = 'Wherry 0'; Mac = '00155DABCD01'; Network = ('' + 'it''s B' + [char] 0x00FC + 'ro'); Legacy = $false }
    @{ Name = 'Wherry 1'; Mac = ''; Network = ''; Legacy = $false }
)
