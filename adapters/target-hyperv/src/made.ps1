# wherry: make
$point = 'wherry: as it came'
$points = @(Get-VMSnapshot -VM $made | Where-Object Name -EQ $point)
$isOff = "$((Get-VM -Id $made.Id).State)" -eq 'Off'
# One that has run is not as it came any more.
if ($Checkpoint -and $isOff -and $points.Count -eq 0) { Checkpoint-VM -VM $made -SnapshotName $point }
if ($Start -and $isOff) { Start-VM -VM $made }
"machine=$($made.Id)"
"state=$((Get-VM -Id $made.Id).State)"
