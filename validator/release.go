package validator

import (
	"fmt"
	"strconv"
)

// Release is a release of MediaWiki and its OAuth extension: the minor number
// of 1.x.
type Release uint8

// The releases with long-term support, and the newest.
const (
	Release135 Release = 35 // the oldest that is supported
	Release139 Release = 39
	Release143 Release = 43
	Release147 Release = 47 // master of 2026-08
)

// ParseRelease reads a release as it is written in a configuration, such as "1.39".
func ParseRelease(s string) (Release, error) {
	for r := Release135; r <= Release147; r++ {
		if r.String() == s {
			return r, nil
		}
	}
	return 0, fmt.Errorf("unsupported mediawiki release %q: use %v to %v", s, Release135, Release147)
}

// String returns the release as a configuration writes it.
func (r Release) String() string { return "1." + strconv.Itoa(int(r)) }
