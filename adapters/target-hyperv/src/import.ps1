#Requires -Version 5.1
#Requires -Modules Hyper-V
#Requires -RunAsAdministrator
<#
.SYNOPSIS
Makes a Hyper-V machine of the disks beside this script.
.DESCRIPTION
What is there already is looked at first, and only what differs is changed: run again, the script goes on where it was
interrupted. It knows its machine by a line in the machine's notes and touches no other. -WhatIf shows what would be done.
.PARAMETER Disks
The directory of the disks, by default that of this script. They stay there.
.PARAMETER Path
Where Hyper-V keeps the machine's settings, by default the directory of the disks.
.PARAMETER SwitchName
The virtual switch for all network adapters. Without it each is connected to the switch of its network's name, if there is one.
.PARAMETER Start
Starts the machine.
.PARAMETER Remove
Removes the machine that this script has made. Its disks stay.
#>
[CmdletBinding(SupportsShouldProcess)]
param(
    [string] $Disks = $PSScriptRoot,
    [string] $Path = $Disks,
    [string] $SwitchName,
    [switch] $Start,
    [switch] $Remove
)
Set-StrictMode -Version 3.0
$ErrorActionPreference = 'Stop'
$Disks = $PSCmdlet.GetUnresolvedProviderPathFromPSPath($Disks)
$Path = $PSCmdlet.GetUnresolvedProviderPathFromPSPath($Path)

#MACHINE#

# Changes the machine if something is not as it should be. Most settings can be changed only while it is off.
function Set-Right([bool] $IsRight, [string] $What, [scriptblock] $Change) {
    if ($IsRight) { return }
    $state = (Get-VM -Id $vm.Id).State
    if ($state -ne 'Off') { throw "$Name is $state; turn it off first, to $What" }
    if ($PSCmdlet.ShouldProcess($Name, $What)) { & $Change }
}

function Set-Disk($Disk) {
    $place = @{
        ControllerType     = $Disk.Type
        ControllerNumber   = $Disk.Number
        ControllerLocation = $Disk.Location
    }
    $where = '{0} {1}:{2}' -f $Disk.Type, $Disk.Number, $Disk.Location
    $file = Join-Path -Path $Disks -ChildPath $Disk.File
    if ($Disk.Type -eq 'SCSI') {
        Set-Right (@(Get-VMScsiController -VM $vm).Count -gt $Disk.Number) 'add a SCSI controller' {
            Add-VMScsiController -VM $vm
        }
    }
    else {
        $dvd = Get-VMDvdDrive -VM $vm | Where-Object {
            $_.ControllerType -eq 'IDE' -and
            $_.ControllerNumber -eq $Disk.Number -and
            $_.ControllerLocation -eq $Disk.Location
        }
        Set-Right ($null -eq $dvd) "remove the DVD drive at $where" { $dvd | Remove-VMDvdDrive }
    }
    $drive = Get-VMHardDiskDrive -VM $vm @place
    # A checkpoint has put a differencing disk over ours.
    if ($null -ne $drive -and $drive.Path -ne $file -and $drive.Path -notlike '*.avhd*') {
        throw "$Name has $($drive.Path) at $where, where $file belongs"
    }
    Set-Right ($null -ne $drive) "attach $file at $where" { Add-VMHardDiskDrive -VM $vm -Path $file @place }
}

function Set-Card($Card) {
    $adapter = Get-VMNetworkAdapter -VM $vm | Where-Object Name -EQ $Card.Name
    if ($null -ne $adapter -and $adapter.IsLegacy -ne $Card.Legacy) {
        Set-Right $false "remove $($Card.Name), which is of another model" { $adapter | Remove-VMNetworkAdapter }
        $adapter = $null
    }
    Set-Right ($null -ne $adapter) "add $($Card.Name)" {
        Add-VMNetworkAdapter -VM $vm -Name $Card.Name -IsLegacy $Card.Legacy
    }
    $adapter = Get-VMNetworkAdapter -VM $vm | Where-Object Name -EQ $Card.Name
    # With -WhatIf it was not added.
    if ($null -eq $adapter) { return }
    if ($Card.Mac) {
        $isRight = -not $adapter.DynamicMacAddressEnabled -and $adapter.MacAddress -eq $Card.Mac
        Set-Right $isRight "give $($Card.Name) the address $($Card.Mac)" {
            Set-VMNetworkAdapter -VMNetworkAdapter $adapter -StaticMacAddress $Card.Mac
        }
    }
    $wanted = if ($SwitchName) { $SwitchName } else { $Card.Network }
    if (-not $wanted -or $adapter.SwitchName -eq $wanted) { return }
    if (-not (Get-VMSwitch | Where-Object Name -EQ $wanted)) {
        if ($SwitchName) { throw "there is no virtual switch called $wanted" }
        Write-Warning "there is no virtual switch called ${wanted}: $($Card.Name) is not connected (-SwitchName names one)"
        return
    }
    if ($PSCmdlet.ShouldProcess($Name, "connect $($Card.Name) to $wanted")) {
        Connect-VMNetworkAdapter -VMNetworkAdapter $adapter -SwitchName $wanted
    }
}

function Set-Bios {
    $order = @((Get-VMBios -VM $vm).StartupOrder)
    Set-Right ("$($order[0])" -eq 'IDE') 'start from the first IDE disk' {
        Set-VMBios -VM $vm -StartupOrder 'IDE', 'CD', 'LegacyNetworkAdapter', 'Floppy'
    }
}

function Set-Firmware {
    $firmware = Get-VMFirmware -VM $vm
    if ($SecureBoot) {
        $isRight = "$($firmware.SecureBoot)" -eq 'On' -and $firmware.SecureBootTemplate -eq $SecureBoot
        Set-Right $isRight "turn on secure boot with $SecureBoot" {
            Set-VMFirmware -VM $vm -EnableSecureBoot On -SecureBootTemplate $SecureBoot
        }
    }
    else {
        Set-Right ("$($firmware.SecureBoot)" -eq 'Off') 'turn off secure boot' {
            Set-VMFirmware -VM $vm -EnableSecureBoot Off
        }
    }
    $drive = Get-VMHardDiskDrive -VM $vm -ControllerType SCSI -ControllerNumber 0 -ControllerLocation 0
    if ($null -eq $drive) { return }
    # Once it has started, the guest puts a file of its own in front.
    $first = @($firmware.BootOrder) | Select-Object -First 1
    $isRight = $null -ne $first -and
        ("$($first.BootType)" -eq 'File' -or ("$($first.BootType)" -eq 'Drive' -and $first.Device.Id -eq $drive.Id))
    Set-Right $isRight 'start from the first SCSI disk' { Set-VMFirmware -VM $vm -FirstBootDevice $drive }
}

$found = @(Get-VM | Where-Object Name -EQ $Name)
$ours = @($found | Where-Object { ($_.Notes -split "`r?`n") -contains $Key })
if ($found.Count -gt $ours.Count) {
    throw "there is a machine $Name that this script has not made; rename or remove it"
}
if ($ours.Count -gt 1) { throw "there are $($ours.Count) machines $Name of this script; remove all but one" }

if ($Remove) {
    foreach ($vm in $ours) {
        if ($vm.State -ne 'Off') { throw "$Name is $($vm.State); turn it off first" }
        if ($PSCmdlet.ShouldProcess($Name, 'remove the machine; its disks stay')) { Remove-VM -VM $vm -Force }
    }
    return
}

foreach ($disk in $DiskPlaces) {
    $file = Join-Path -Path $Disks -ChildPath $disk.File
    if (-not (Test-Path -LiteralPath $file -PathType Leaf)) { throw "$file is not there" }
}
if ($ours.Count -eq 0) {
    if (-not $PSCmdlet.ShouldProcess($Name, $Summary)) { return }
    $vm = New-VM -Name $Name -Generation $Generation -MemoryStartupBytes $MemoryBytes -Path $Path -NoVHD
    Set-VM -VM $vm -Notes $Key
    # Every new machine has an adapter that nobody asked for.
    $names = @($CardPlaces | ForEach-Object { $_.Name })
    Get-VMNetworkAdapter -VM $vm | Where-Object Name -NotIn $names | Remove-VMNetworkAdapter
}
else {
    $vm = $ours[0]
}
if ($vm.Generation -ne $Generation) { throw "$Name is of generation $($vm.Generation), not $Generation" }

$processor = Get-VMProcessor -VM $vm
Set-Right ($processor.Count -eq $Processors) "give it $Processors processors" {
    Set-VMProcessor -VM $vm -Count $Processors
}
Set-Right ($processor.CompatibilityForOlderOperatingSystemsEnabled -eq $OldProcessor) 'limit the processor' {
    Set-VMProcessor -VM $vm -CompatibilityForOlderOperatingSystemsEnabled $OldProcessor
}
$memory = Get-VMMemory -VM $vm
Set-Right ($memory.Startup -eq $MemoryBytes -and -not $memory.DynamicMemoryEnabled) "give it $MemoryBytes bytes of memory" {
    Set-VMMemory -VM $vm -DynamicMemoryEnabled $false -StartupBytes $MemoryBytes
}
# Servers before 2019 do not make checkpoints by themselves.
if ((Get-Command -Name Set-VM).Parameters.ContainsKey('AutomaticCheckpointsEnabled')) {
    Set-Right (-not $vm.AutomaticCheckpointsEnabled) 'make no checkpoints by itself' {
        Set-VM -VM $vm -AutomaticCheckpointsEnabled $false
    }
}
foreach ($disk in $DiskPlaces) { Set-Disk $disk }
foreach ($card in $CardPlaces) { Set-Card $card }
if ($Generation -eq 1) { Set-Bios } else { Set-Firmware }
if ($Start -and (Get-VM -Id $vm.Id).State -eq 'Off' -and $PSCmdlet.ShouldProcess($Name, 'start')) { Start-VM -VM $vm }
Get-VM -Id $vm.Id
