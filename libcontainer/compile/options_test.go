package compile

import (
	"slices"
	"testing"

	"berth/spec"
)

// The list that features prints has each word that the options' own table knows, alone
// and recursive, and lacks only what a mount with it is refused for.
func TestMountOptionsAreThoseOfTheTable(t *testing.T) {
	list := MountOptions()
	for _, o := range attrOptions {
		for _, word := range []string{o.word, "r" + o.word} {
			if !slices.Contains(list, word) {
				t.Errorf("%s is missing", word)
			}
		}
	}
	for _, word := range spec.MountOptions() {
		o := parseOptions([]string{word})
		if len(o.data) > 0 {
			t.Errorf("%s is valid, and would be given to the file system", word)
		}
		if slices.Contains(list, word) == (o.unsupported() != "") {
			t.Errorf("%s: listed %v, unsupported %q", word, slices.Contains(list, word), o.unsupported())
		}
	}
	if !slices.IsSorted(list) {
		t.Errorf("not in order: %v", list)
	}
}
