# wherry: look
Set-StrictMode -Version 3.0
$about = Get-VMHost
"host=$($about.ComputerName)"
"version=$([Environment]::OSVersion.Version)"
"processors=$($about.LogicalProcessorCount)"
"memory=$($about.MemoryCapacity)"
Get-VMSwitch | ForEach-Object { "switch=$($_.Name)" }
if (Test-Path -LiteralPath $Directory -PathType Container) { 'directory=yes' }
