package grammar

import (
	"strconv"
	"strings"
)

var sizeUnits = map[string]int64{
	"": 1, "B": 1,
	"kB": 1e3, "MB": 1e6, "GB": 1e9,
	"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30,
}

// parseSize reads a positive number of bytes with its unit.
func parseSize(s string) (int64, bool) {
	digits := strings.TrimRight(s, "kKMGiB")
	unit, known := sizeUnits[s[len(digits):]]
	n, err := strconv.ParseUint(digits, 10, 32)
	return int64(n) * unit, known && err == nil && n > 0
}
