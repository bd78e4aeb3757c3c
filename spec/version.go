package spec

import (
	"strconv"
	"strings"

	"berth/libcontainer/fault"
)

// The oldest and the newest version of the runtime-spec that a configuration may
// name and be sure of being understood whole. MaxVersion is the version of the
// Go types in use; a test holds the two together.
const (
	MinVersion = "1.0.0"
	MaxVersion = "1.3.0"
)

// version is a Semantic Version 2.0.0, as far as compatibility hangs on it.
type version struct{ major, minor, patch uint64 }

// parseVersion parses major.minor.patch[-prerelease][+build].
func parseVersion(s string) (v version, ok bool) {
	core, build, hasBuild := strings.Cut(s, "+")
	core, pre, hasPre := strings.Cut(core, "-")
	if hasBuild && !identifiers(build, false) || hasPre && !identifiers(pre, true) {
		return v, false
	}
	parts := strings.Split(core, ".")
	if len(parts) != 3 {
		return v, false
	}
	for i, p := range []*uint64{&v.major, &v.minor, &v.patch} {
		n, err := strconv.ParseUint(parts[i], 10, 64)
		if err != nil || leadingZero(parts[i]) || parts[i][0] == '+' {
			return v, false
		}
		*p = n
	}
	return v, true
}

// identifiers checks the words of a pre-release or of build metadata, between
// dots. A number in a pre-release must not begin with 0.
func identifiers(s string, pre bool) bool {
	for _, word := range strings.Split(s, ".") {
		if word == "" {
			return false
		}
		number := true
		for i := 0; i < len(word); i++ {
			c := word[i]
			digit := c >= '0' && c <= '9'
			if !digit && c != '-' && (c|0x20 < 'a' || c|0x20 > 'z') {
				return false
			}
			number = number && digit
		}
		if pre && number && leadingZero(word) {
			return false
		}
	}
	return true
}

func leadingZero(digits string) bool { return len(digits) > 1 && digits[0] == '0' }

// checkVersion is VER-1 and VER-2.
func (c *checker) checkVersion(s string) {
	v, ok := parseVersion(s)
	switch {
	case s == "":
		c.add("ociVersion", "ociVersion must be specified")
	case !ok:
		c.add("ociVersion", quote(s)+" is not a semantic version such as "+MaxVersion)
	case v.major != 1:
		c.add("ociVersion", "unsupported version "+quote(s)+": must be from "+MinVersion+" to "+MaxVersion)
	}
}

// versionWarning tells of a configuration newer than the types that decoded it:
// a property of that version would have been ignored as unknown. It is no error,
// since engines raise the version long before they use what is new.
func versionWarning(s string) *fault.Error {
	v, ok := parseVersion(s)
	ours, _ := parseVersion(MaxVersion)
	if !ok || v.major != ours.major || v.minor <= ours.minor {
		return nil
	}
	return fault.At("ociVersion", "version "+quote(s)+" is newer than "+MaxVersion+": what is new in it is ignored")
}
