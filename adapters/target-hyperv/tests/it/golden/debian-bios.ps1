$Name = 'web-a.1'
$Key = 'wherry-key: k''1'
$Summary = 'make a machine of generation 1 with 2 processors, 1024 MiB of memory, 3 disks and 2 network adapters'
$Generation = 1
$Processors = 2
$MemoryBytes = 1073741824
$OldProcessor = $false
$SecureBoot = ''
$DiskPlaces = @(
    @{ File = 'web-a.1-1.vhdx'; Type = 'IDE'; Number = 0; Location = 0 }
    @{ File = 'web-a.1.vhdx'; Type = 'SCSI'; Number = 0; Location = 0 }
    @{ File = 'web-a.1-2.vhdx'; Type = 'SCSI'; Number = 0; Location = 1 }
)
$CardPlaces = @(
    @{ Name = 'Wherry 0'; Mac = '00155DABCD01'; Network = ('' + 'it''s B' + [char] 0x00FC + 'ro'); Legacy = $false }
    @{ Name = 'Wherry 1'; Mac = ''; Network = ''; Legacy = $false }
)
