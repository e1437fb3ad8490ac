# Compares the results that a page shows with those of its run, file `got` with a mark "@block n" before each block's
# output. A result shown is the ```text block that follows its ```sql block at once; of one marked "(times differ)" times do
# not count. Verdicts go to standard error, the page to standard output, with accept=1 with the results of the run.
BEGIN {
  while ((getline line < got) > 0) {
    if (line ~ /^@block /) { block = substr(line, 8) + 0; continue }
    sub(/ +$/, "", line); if (line != "") result[block] = result[block] line "\n"
  }
}
# Without what is another in each run: times, and the widths of the columns that they stand in.
function timeless(words) {
  gsub(/[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9] /, "", words)
  gsub(/[0-9][0-9]:[0-9][0-9]:[0-9][0-9](\.[0-9]+)?/, "<time>", words)
  gsub(/ +/, " ", words); gsub(/--+/, "--", words); gsub(/\n /, "\n", words); sub(/^ /, "", words)
  return words
}
function indented(words) { gsub(/\n/, "\n#   ", words); return words }
function judge(right) {
  where = page ": result of block " n (how == "" ? "" : ", " how)
  if (right) print "ok - " where > "/dev/stderr"
  else printf "not ok - %s\n#   shown:\n#   %s\n#   got:\n#   %s\n", where, indented(shown), indented(result[n]) > "/dev/stderr"
}
/^```sql$/ { n++; insql = 1 }
insql && /^```$/ { insql = 0; after = NR; print; next }
/^```text( \(times differ\))?$/ && NR == after + 1 && n { intext = 1; vary = /differ/; shown = ""; print; next }
intext && /^```$/ {
  intext = 0
  right = shown == result[n] || vary && timeless(shown) == timeless(result[n])
  if (!accept) judge(right)
  printf "%s", accept && !right ? result[n] : shown
}
intext { line = $0; sub(/ +$/, "", line); if (line != "") shown = shown line "\n"; next }
{ print }
