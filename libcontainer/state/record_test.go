package state

import (
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

var full = &Record{
	ID: "web-1", Bundle: "/run/b \"x\"\\\n\t\x01ä", Rootfs: "/run/b/rootfs", PID: 4711,
	StartTime: 1<<63 + 5, Created: time.Date(2026, 2, 3, 4, 5, 6, 789, time.UTC), UID: 1000,
	Annotations: map[string]string{"a": "1", "": "", "io.x": "{\"y\":1}"}, CgroupDriver: "cgroupfs",
	Cgroups: []string{"cpu,cpuacct:1:/sys/fs/cgroup/cpu,cpuacct/./x", ":1:/sys/fs/cgroup/unified/./x"}, PrivatePID: true, Creating: true,
	HasProcess: true, NoPivot: true, NoNewKeyring: true, PreserveFDs: 2, Program: 1<<63 + 9,
}

func TestRecordRoundTrip(t *testing.T) {
	_, d := newDir(t)
	for _, r := range []*Record{full, {Created: time.Unix(0, 0).UTC()}, {Bundle: "/not\xffutf8", Created: time.Unix(1, 0).UTC()}} {
		if err := d.WriteRecord(r); err != nil {
			t.Fatal(err)
		}
		got, err := d.Record()
		if err != nil || !reflect.DeepEqual(got, r) {
			t.Errorf("got  %+v\nwant %+v\n%v", got, r, err)
		}
	}
	local := *full
	local.Created = full.Created.In(time.FixedZone("x", 3600))
	if got, err := decodeRecord(encodeRecord(&local)); err != nil || !got.Created.Equal(full.Created) || got.Created.Location() != time.UTC {
		t.Errorf("%v %v", got, err)
	}
}

// What is written is JSON by the standard library's measure too.
func TestRecordIsJSON(t *testing.T) {
	var m map[string]any
	if err := json.Unmarshal(encodeRecord(full), &m); err != nil {
		t.Fatal(err)
	}
	if m["bundle"] != full.Bundle || m["version"] != 1.0 || m["created"] != "2026-02-03T04:05:06.000000789Z" {
		t.Errorf("%v", m)
	}
}

func TestRecordForeign(t *testing.T) {
	got, err := decodeRecord([]byte(` {"version": 1, "new": [1.5e3, {"x": [null, true, -2, "é\""]}, {}, []], "id" : "\u0061\/\b\f\r\t",` +
		"\n\"pid\":-1}\n"))
	if err != nil || got.ID != "a/\b\f\r\t" || got.PID != -1 {
		t.Errorf("%+v %v", got, err)
	}
	for text, want := range map[string]string{
		`{"version":2,"id":7}`:             "version 2 is not known, only up to 1 (the container was made by a newer berth: use that one)",
		`{"version":0}`:                    "version 0 is not known",
		`{}`:                               "no version",
		`{"id":"x","version":1}`:           "does not begin with a version",
		``:                                 "no '{'",
		`{"version":1`:                     "no ','",
		`{"version":1}x`:                   "something follows",
		`{"version":1,"id":7}`:             `no '"'`,
		`{"version":1,"id":"x`:             "a string without end",
		`{"version":1,"id":"x\`:            "a wrong escape",
		`{"version":1,"id":"\u12"}`:        "a wrong escape",
		`{"version":1,"id":"\q"}`:          "a wrong escape",
		"{\"version\":1,\"id\":\"a\nb\"}":  "a control character",
		"{\"version\":1,\"id\":\"\\n\n\"}": "a control character",
		`{"version":1,"pid":1.5}`:          "no whole number",
		`{"version":1,"pid":007}`:          "no number",
		`{"version":1,"pid":"1"}`:          "no number",
		`{"version":1,"startTime":-1}`:     "no whole number",
		`{"version":1,"creating":1}`:       "neither true nor false",
		`{"version":1,"created":"now"}`:    "created is no time",
		`{"version":1,"x":nil}`:            "no JSON value",
		`{"version":1,"x":1-2}`:            "no ','",
		`{"version":1,}`:                   `no '"'`,
		`{"version":1,"x":` + strings.Repeat("[", 99) + strings.Repeat("]", 99) + "}": "nested too deeply",
	} {
		if r, err := decodeRecord([]byte(text)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %+v, %v, not %s", text, r, err, want)
		}
	}
	_, d := newDir(t)
	if err := os.WriteFile(d.Path()+"/state.json", []byte(`{"version":9}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Record(); err == nil || !strings.Contains(err.Error(), d.Path()+"/state.json: version 9 is not known") {
		t.Errorf("got %v", err)
	}
}

func FuzzRecord(f *testing.F) {
	f.Add(encodeRecord(full))
	f.Add([]byte(`{"version":1,"new":[1.5e3,{"x":[null,true]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := decodeRecord(data)
		if err != nil {
			return
		}
		if !json.Valid(data) {
			t.Errorf("taken, though no JSON: %q", data)
		}
		again, err := decodeRecord(encodeRecord(r))
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Annotations) == 0 {
			r.Annotations = nil
		}
		if !again.Created.Equal(r.Created) {
			t.Errorf("%v, then %v", r.Created, again.Created)
		}
		again.Created = r.Created
		if !reflect.DeepEqual(r, again) {
			t.Errorf("%+v, then %+v", r, again)
		}
	})
}

func BenchmarkRecord(b *testing.B) {
	for b.Loop() {
		if _, err := decodeRecord(encodeRecord(full)); err != nil {
			b.Fatal(err)
		}
	}
}
