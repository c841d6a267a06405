# wherry: remove
Set-StrictMode -Version 3.0
$ours = @(Get-VM | Where-Object { $_.Name -eq $Name -and ($_.Notes -split "`r?`n") -contains "wherry-key: $Key" })
foreach ($vm in $ours) {
    if ("$($vm.State)" -ne 'Off') { Stop-VM -VM $vm -TurnOff -Force }
    Get-VMSnapshot -VM $vm | Remove-VMSnapshot
    Remove-VM -VM $vm -Force
    'removed=yes'
}
