package validator

import (
	"fmt"
	"strconv"
)

// Release is a release of MediaWiki and its OAuth extension: the minor number of 1.x.
type Release uint8

// The releases that this version decides for.
const (
	Release139 Release = 39
	Release147 Release = 47 // master of 2026-08
)

// Releases lists the releases that ParseRelease accepts.
var Releases = []Release{Release139, Release147}

// ParseRelease reads a release as it is written in a configuration, such as "1.39".
func ParseRelease(s string) (Release, error) {
	for _, r := range Releases {
		if r.String() == s {
			return r, nil
		}
	}
	return 0, fmt.Errorf("unsupported mediawiki release %q: want one of %v", s, Releases)
}

// String returns the release as a configuration writes it.
func (r Release) String() string { return "1." + strconv.Itoa(int(r)) }
