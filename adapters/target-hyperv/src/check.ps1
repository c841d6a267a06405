# wherry: check
Set-StrictMode -Version 3.0
$file = Join-Path -Path $Directory -ChildPath $Claim
if (-not (Test-Path -LiteralPath $file -PathType Leaf) -or -not (Get-Content -LiteralPath $file -Raw).Contains($Key)) {
    throw "$file is not what was written into the output directory: $Directory is another one"
}
$others = @(Get-VM | Where-Object { $_.Name -eq $Name -and ($_.Notes -split "`r?`n") -notcontains "wherry-key: $Key" })
if ($others.Count -gt 0) {
    throw "there is a machine $Name that this run has not made; rename or remove it, or use another name"
}
