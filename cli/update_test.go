package cli

import "testing"

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "512": 512, "1b": 1, "64k": 64 << 10, "64K": 64 << 10, "50M": 50 << 20, "50MB": 50 << 20, "50mib": 50 << 20,
		"1g": 1 << 30, "1.5GiB": 3 << 29, "2t": 2 << 40, "1p": 1 << 50, "0.5k": 512, "10 M": 10 << 20,
		"9223372036854775807": 1<<63 - 1, "8191p": 8191 << 50,
		"": -1, "-1": -1, "x": -1, "5x": -1, "k": -1, "1kk": -1, "1bb": -1, "1ib": -1, "1.2.3": -1, "1e3": -1, "0x10": -1, "+5": -1, "5 ": 5,
		"9223372036854775808": -1, "8192p": -1, "8191.99999999999999999p": -1, "1 0": -1, ".": -1, "nan": -1, "inf": -1,
	} {
		got, err := parseSize(text)
		if err != nil {
			got = -1
			if want := "invalid size: '" + text + "'"; err.Error() != want {
				t.Errorf("%q: %v", text, err)
			}
		}
		if got != want {
			t.Errorf("%q: %d, %v, want %d", text, got, err, want)
		}
	}
}
