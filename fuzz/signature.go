package fuzz

import (
	"regexp"
	"strings"
)

// A signature is what two failures have in common that are the same failure:
// the oracle, and the beginning of what it says with everything taken out that
// differs from run to run.
type signature struct{ oracle, message string }

// signatureLength is how much of a message counts: behind that come the
// details of one run.
const signatureLength = 40

// varying is what differs between two runs that fail the same way: LSNs, times,
// ids, numbers of processes and of branches.
var varying = []struct {
	find *regexp.Regexp
	put  string
}{
	{regexp.MustCompile(`[0-9A-F]+/[0-9A-F]+`), "L"},
	{regexp.MustCompile(`[0-9a-f]{8,}(-[0-9a-f]{4})?`), "H"},
	{regexp.MustCompile(`\b(main|branch-[0-9]+)\b`), "B"},
	{regexp.MustCompile(`[0-9]+(\.[0-9]+)?`), "#"},
}

// signature is that of a failed run; of one that did not fail it is empty.
func (r *Result) signature() signature {
	if r.Err == nil {
		return signature{}
	}
	line, _, _ := strings.Cut(r.Err.Error(), "\n")
	for _, v := range varying {
		line = v.find.ReplaceAllString(line, v.put)
	}
	return signature{r.Oracle(), line[:min(len(line), signatureLength+len(r.Oracle()))]}
}

// SameFailure tells whether two runs failed the same way.
func SameFailure(a, b *Result) bool { return a.Err != nil && a.signature() == b.signature() }
