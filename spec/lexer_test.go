package spec

import (
	"errors"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"berth/libcontainer/fault"
)

// lexerCases are texts with the error that Decode gives, or with an empty one
// where the text is good. Path and pos are checked where they are given.
var lexerCases = []struct{ name, text, err, path, pos string }{
	{"empty object", `{}`, "", "", ""},
	{"white space", " \t\r\n{ \"hostname\" : \"a\" , \"root\" : { } } \n", "", "", ""},
	{"nothing", ``, "the text ends where an object is expected", "", "1:1"},
	{"only white space", "\n\n ", "the text ends", "", "3:2"},
	{"null for all", `null`, "where an object is expected", "", "1:1"},
	{"array for all", `[]`, "must be an object, not an array", "", "1:1"},
	{"string for all", `"a"`, "must be an object, not a string", "", ""},
	{"BOM", "\ufeff{}", "byte order mark", "", "1:1"},
	{"UTF-16", "{\x00\"\x00a\x00", "unexpected '\\x00'", "", "1:2"},
	{"trailing data", "{} x", "unexpected 'x' where the end of the text is expected", "", "1:4"},
	{"trailing NUL", "{}\x00", "unexpected '\\x00'", "", "1:3"},
	{"two values", "{}{}", "unexpected '{'", "", "1:3"},
	{"unclosed", `{"root":{"path":"a"`, "the text ends where a comma or '}' is expected", "root", "1:20"},
	{"unclosed string", `{"hostname":"a`, "closing quote", "hostname", ""},
	{"unclosed name", `{"hostname`, "closing quote", "", ""},
	{"name alone", `{"hostname"`, "the text ends where a colon is expected", "hostname", ""},
	{"name without quotes", `{hostname:"a"}`, "unexpected 'h' where a name in double quotes", "", "1:2"},
	{"single quotes", `{'hostname':"a"}`, "a name in double quotes", "", ""},
	{"no colon", `{"hostname" "a"}`, "unexpected '\"' where a colon", "hostname", ""},
	{"no comma", `{"root":{} "hostname":"a"}`, "a comma or '}'", "", "1:12"},
	{"comma before brace", `{"hostname":"a",}`, "a comma stands before '}'", "", "1:17"},
	{"comma before bracket", `{"process":{"args":["a",]}}`, "a comma stands before ']'", "process.args", ""},
	{"comma first", `{,}`, "a name in double quotes", "", ""},
	{"comment", "{/* no */}", "unexpected '/'", "", ""},
	{"wrong bracket", `{"mounts":[}`, "unexpected '}'", "mounts", "1:12"},
	{"element missing", `{"process":{"args":["a","b" 3]}}`, "a comma or ']'", "", "1:29"},
	{"misspelt literal", `{"root":{"readonly":tru}}`, "only null, true and false", "root.readonly", "1:21"},
	{"NaN", `{"process":{"oomScoreAdj":NaN}}`, "unexpected 'N'", "process.oomScoreAdj", ""},
	{"control character", "{\"hostname\":\"a\tb\"}", "control character", "hostname", "1:15"},
	{"bad UTF-8 in a value", "{\n \"hostname\":\"é\xff\"}", "invalid UTF-8 at byte 17", "hostname", "2:15"},
	{"bad UTF-8 in a name", "{\"a\xc3(\":1}", "invalid UTF-8 at byte 3", "", "1:4"},
	{"bad UTF-8 in an unknown value", "{\"x\":{\"y\":\"\xed\xa0\x80\"}}", "invalid UTF-8", "x.y", ""},
	{"bad UTF-8 after an escape", "{\"hostname\":\"\\n\xff\"}", "invalid UTF-8", "hostname", ""},
	{"bad UTF-8 outside strings", "{\xff}", "invalid UTF-8 at byte 1", "", ""},
	{"overlong", "{\"hostname\":\"\xc0\xaf\"}", "invalid UTF-8", "hostname", ""},
	{"escape unknown", `{"hostname":"\x41"}`, "invalid escape sequence", "hostname", "1:14"},
	{"escape short", `{"hostname":"\u12"}`, "four hexadecimal digits", "hostname", ""},
	{"escape cut off", `{"hostname":"\`, "inside an escape sequence", "hostname", ""},
	{"escape in an unknown value", `{"x":"\q"}`, "invalid escape", "x", ""},
	{"duplicate", `{"hostname":"a","hostname":"b"}`, "has this name twice", "hostname", "1:17"},
	{"duplicate after unescaping", `{"hostname":"a","host\u006eame":"b"}`, "has this name twice", "hostname", ""},
	{"duplicate null", `{"root":null,"root":null}`, "has this name twice", "root", ""},
	{"duplicate in depth", `{"mounts":[{},{"source":"a","source":"a"}]}`, "has this name twice", "mounts[1].source", ""},
	{"duplicate in a map", `{"linux":{"sysctl":{"net.a":"1","net.a":"1"}}}`, "twice", `linux.sysctl["net.a"]`, ""},
	{"duplicate of an unknown name", `{"x":1,"x":2}`, "twice", "x", ""},
	{"duplicate inside an unknown value", `{"x":[{"y":1,"y":2}]}`, "twice", "x[0].y", ""},
	{"duplicate in windows", `{"windows":{"y":1,"y":2}}`, "twice", "windows.y", ""},
	{"same name in two objects", `{"x":{"y":1},"y":1}`, "", "", ""},
	{"case matters", `{"hostname":"a","Hostname":"b"}`, "", "", ""},
	{"case matters for the type too", `{"Hostname":1}`, "", "", ""},
	{"object for a string", `{"hostname":{}}`, "must be a string, not an object", "hostname", "1:13"},
	{"string for an object", `{"process":"sh"}`, "must be an object, not a string", "process", ""},
	{"string for an array", `{"process":{"args":"sh"}}`, "must be an array, not a string", "process.args", ""},
	{"number for a boolean", `{"root":{"readonly":1}}`, "must be true or false, not a number", "root.readonly", ""},
	{"string for a number", `{"process":{"user":{"uid":"0"}}}`, "must be an integer, not a string", "process.user.uid", ""},
	{"annotation that is no string", `{"annotations":{"a.b":1}}`, "must be a string, not a number", `annotations["a.b"]`, ""},
	{"deep", `{"x":` + strings.Repeat("[", 127) + strings.Repeat("]", 127) + "}", "", "", ""},
	{"too deep", `{"x":` + strings.Repeat("[", 128) + strings.Repeat("]", 128) + "}", "nested deeper than 128 levels", "", "1:133"},
	{"much too deep", strings.Repeat(`{"a":`, 1<<16), "nested deeper than 128 levels", "", ""},
	{"null everywhere", `{"process":null,"mounts":null,"annotations":null,"linux":{"resources":{"memory":{"limit":null}}}}`, "", "", ""},
	{"null elements", `{"process":{"args":[null,"a"],"user":null},"mounts":[null],"annotations":{"a":null}}`, "", "", ""},
	{"empty arrays", `{"mounts":[],"process":{"env":[]},"linux":{"sysctl":{},"namespaces":[]}}`, "", "", ""},
	{"device without numbers", `{"linux":{"devices":[{"path":"/dev/x","type":"c"}]}}`, "required property is absent", "linux.devices[0].major", "1:22"},
	{"device with null for a number", `{"linux":{"devices":[{"path":"/dev/x","type":"c","major":null,"minor":1}]}}`, "required property is absent", "linux.devices[0].major", ""},
	{"FIFO without numbers", `{"linux":{"devices":[{"path":"/dev/x","type":"p"}]}}`, "", "", ""},
	{"rlimit without soft", `{"process":{"rlimits":[{"type":"RLIMIT_CORE","hard":1}]}}`, "required property is absent", "process.rlimits[0].soft", ""},
	{"device rule without allow", `{"linux":{"resources":{"devices":[{"access":"rwm"}]}}}`, "required property is absent", "linux.resources.devices[0].allow", ""},
}

func TestLexer(t *testing.T) {
	for _, c := range lexerCases {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := Decode([]byte(c.text))
			if msg := agree([]byte(c.text), Decode); msg != "" {
				t.Error(msg)
			}
			if c.err == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			var e *fault.Error
			if !errors.As(err, &e) {
				t.Fatalf("got %v, want a *fault.Error", err)
			}
			if !strings.Contains(e.Msg, c.err) {
				t.Errorf("message %q lacks %q", e.Msg, c.err)
			}
			if c.path != "" && e.JSONPath != c.path {
				t.Errorf("path %q, want %q", e.JSONPath, c.path)
			}
			if c.pos != "" && e.Pos != c.pos {
				t.Errorf("position %q, want %q", e.Pos, c.pos)
			}
		})
	}
}

// TestIntegers tries every literal at every width, with encoding/json as judge.
func TestIntegers(t *testing.T) {
	literals := []string{
		"0", "-0", "1", "-1", "00", "01", "-01", "+1", "1.0", "1.5", "1e2", "1E+2", "1e", "1.", ".5", "-", "0x10", "1_000",
		"65535", "65536", "2147483647", "2147483648", "-2147483648", "-2147483649", "4294967295", "4294967296",
		"9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809",
		"18446744073709551615", "18446744073709551616", strings.Repeat("9", 400), "-" + strings.Repeat("9", 400),
		"1e400", "0e0", "0.0", "null", "true", `"1"`, "[1]", "{}", "1 1", "",
	}
	frames := map[string]string{
		"uint16":  `{"linux":{"resources":{"blockIO":{"weight":%}}}}`,
		"uint32":  `{"process":{"user":{"uid":%}}}`,
		"uint32p": `{"process":{"user":{"umask":%}}}`,
		"uint64":  `{"linux":{"resources":{"cpu":{"shares":%}}}}`,
		"int32":   `{"process":{"scheduler":{"nice":%}}}`,
		"int64":   `{"linux":{"resources":{"memory":{"limit":%}}}}`,
		"int":     `{"process":{"oomScoreAdj":%}}`,
		"uint":    `{"linux":{"seccomp":{"defaultErrnoRet":%}}}`,
		"mode":    `{"linux":{"devices":[{"fileMode":%,"major":1,"minor":3}]}}`,
		"unknown": `{"x":%}`,
		"element": `{"process":{"user":{"additionalGids":[%]}}}`,
	}
	for kind, text := range frames {
		for _, lit := range literals {
			data := []byte(strings.Replace(text, "%", lit, 1))
			if msg := agree(data, Decode); msg != "" {
				t.Errorf("%s %s: %s", kind, lit, msg)
			}
		}
	}
}

// TestRangeWords holds the error for an integer that is too large to its words.
func TestRangeWords(t *testing.T) {
	for text, want := range map[string]string{
		`{"linux":{"resources":{"blockIO":{"weight":65536}}}}`:                       "65536 is out of range: must be between 0 and 65535: linux.resources.blockIO.weight (config.json:1:44)",
		`{"process":{"user":{"uid":-1}}}`:                                            "-1 is out of range: must be between 0 and 4294967295: process.user.uid (config.json:1:27)",
		`{"linux":{"resources":{"cpu":{"shares":18446744073709551616}}}}`:            "18446744073709551616 is out of range: must be between 0 and 18446744073709551615: linux.resources.cpu.shares (config.json:1:40)",
		`{"process":{"scheduler":{"nice":-2147483649}}}`:                             "-2147483649 is out of range: must be between -2147483648 and 2147483647: process.scheduler.nice (config.json:1:33)",
		`{"linux":{"resources":{"memory":{"limit":1e3}}}}`:                           "1e3 is not an integer written without fraction and exponent: linux.resources.memory.limit (config.json:1:42)",
		`{"linux":{"resources":{"memory":{"limit":9223372036854775808,"swap":-1}}}}`: "9223372036854775808 is out of range: must be between -9223372036854775808 and 9223372036854775807: linux.resources.memory.limit (config.json:1:42)",
	} {
		if _, _, err := Decode([]byte(text)); err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}

// TestStrings compares every escape, and what is near one, with encoding/json.
func TestStrings(t *testing.T) {
	for _, lit := range []string{
		`\"\\\/\b\f\n\r\t`, `\u0041\u00e9\u20ac`, `\uD83D\uDE00`, `\ud83d\ude00x`, `\ud83d`, `\ud83dx`, `\ud83d\n`,
		`\ude00`, `\ude00\ud83d`, `\ud83d\u0041`, `\ud83d\ud83d\ude00`, `\u0000`, `\uFFFF`, `\ufffd`, `\uABCG`, `\u`, `\u004`,
		`\U0041`, `\a`, `\'`, `\0`, "é€😀", "é\\u00e9é", "\x7f", "\u2028", "\u0080", "\ufeff", "a\\tb\\", "\x1f", "\\\x00",
	} {
		for _, text := range []string{`{"hostname":"%"}`, `{"%":1}`, `{"annotations":{"%":"%"}}`, `{"x":["%"]}`} {
			data := []byte(strings.ReplaceAll(text, "%", lit))
			if msg := agree(data, Decode); msg != "" {
				t.Errorf("%q: %s", data, msg)
			}
		}
	}
}

// TestUnknown checks how unknown properties, and those of other platforms, are
// told: each by its path, once, none of what is inside.
func TestUnknown(t *testing.T) {
	text := `{"ociVersion":"1.3.0","Hostname":"h","windows":{"layerFolders":["a"],"x":1},"vm":{"kernel":{}},
		"freebsd":{"jail":{}},"zos":{},"solaris":null,"":0,
		"linux":{"intelRdt":{"enableCMT":true},"netDevices":{"eth0":{"mtu":1}},"devices":[{"type":"p"},{"type":"p","a b":[1]}]}}`
	s, unknown, err := Decode([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"Hostname", "windows", "vm", "freebsd", "zos", "solaris", `[""]`,
		"linux.intelRdt.enableCMT", "linux.netDevices.eth0.mtu", `linux.devices[1]["a b"]`,
	}
	if !reflect.DeepEqual(unknown, want) {
		t.Errorf("got %q\nwant %q", unknown, want)
	}
	if s.Windows != nil || s.VM != nil || s.Hostname != "" {
		t.Errorf("decoded what has to be ignored: %+v", s)
	}
}

// TestManyNames walks the way that objects with many unknown names take.
func TestManyNames(t *testing.T) {
	var b strings.Builder
	for i := range 1000 {
		b.WriteString(`"n` + strconv.Itoa(i) + `":0,`)
	}
	text := `{` + b.String() + `"last":0}`
	_, unknown, err := Decode([]byte(text))
	if err != nil || len(unknown) != maxUnknown {
		t.Errorf("%d unknown, error %v", len(unknown), err)
	}
	for _, dup := range []string{"n0", "n16", "n999"} {
		if msg := agree([]byte(`{`+b.String()+`"`+dup+`":0}`), Decode); msg != "" {
			t.Error(msg)
		}
	}
	_, _, err = Decode([]byte(`{"linux":{"uidMappings":[` + strings.Repeat("{},", 1000) + `{}]}}`))
	var list fault.List
	if !errors.As(err, &list) || len(list) != maxLacking {
		t.Errorf("%d errors", len(list))
	}
}

// TestCopies checks that what was decoded does not share the caller's bytes.
func TestCopies(t *testing.T) {
	data := []byte(`{"hostname":"berth"}`)
	s, _, err := Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	clear(data)
	if s.Hostname != "berth" {
		t.Errorf("hostname became %q", s.Hostname)
	}
}

func TestOtherEntryPoints(t *testing.T) {
	p, unknown, err := DecodeProcess([]byte(`{"cwd":"/","args":["sh"],"x":1}`))
	if err != nil || p.Cwd != "/" || len(p.Args) != 1 || !reflect.DeepEqual(unknown, []string{"x"}) {
		t.Errorf("process: %+v %v %v", p, unknown, err)
	}
	r, _, err := DecodeResources([]byte(`{"pids":{"limit":-1}}`))
	if err != nil || *r.Pids.Limit != -1 {
		t.Errorf("resources: %+v %v", r, err)
	}
	st, _, err := DecodeState([]byte(`{"ociVersion":"1.3.0","id":"a","status":"running","pid":7,"bundle":"/b","annotations":{"k":"v"}}`))
	want := &specs.State{Version: "1.3.0", ID: "a", Status: "running", Pid: 7, Bundle: "/b", Annotations: map[string]string{"k": "v"}}
	if err != nil || !reflect.DeepEqual(st, want) {
		t.Errorf("state: %+v %v", st, err)
	}
	if _, _, err := DecodeProcess([]byte(`[]`)); err == nil {
		t.Error("an array is no process")
	}
	// Whoever gave the document by itself is not to look for the mistake in config.json.
	_, _, err = DecodeProcess([]byte(`{"args":[1]}`))
	if want := "args[0] (process:1:10)"; err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("got %v, want an error that ends in %s", err, want)
	}
	if list := ValidateProcess(&specs.Process{Args: []string{"a"}}, nil, ""); len(list) != 1 || list[0].JSONPath != "cwd" {
		t.Errorf("got %v, want an error at cwd", list)
	}
}
