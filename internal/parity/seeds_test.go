package parity_test

import (
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/parity"
)

func TestSeeds(t *testing.T) {
	t.Logf("%d recorded requests", len(parity.Requests(t)))
	for _, test := range []struct {
		name  string
		seeds func(testing.TB) []string
		want  string // one that the recording is known to hold
	}{
		{"Authorization", parity.AuthorizationValues, "OAuth garbage"},
		{"form", parity.Forms, "x=2&x=3"},
		{"JWT", parity.JWTs, "garbage"},
		{"restrictions", parity.Restrictions, `{"IPAddresses":["127.0.0.0/8"],"Pages":["A"]}`},
	} {
		seeds := test.seeds(t)
		seen := map[string]bool{}
		for _, s := range seeds {
			if seen[s] {
				t.Errorf("%s: %.80q is given twice", test.name, s)
			}
			seen[s] = true
		}
		if !seen[test.want] {
			t.Errorf("%s: %q is not among the seeds", test.name, test.want)
		}
		t.Logf("%d distinct %s seeds", len(seeds), test.name)
	}
}
