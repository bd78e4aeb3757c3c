package libcontainer

import (
	"maps"
	"slices"
	"time"

	"berth/libcontainer/jsonw"
)

// JSON is the state as a document: what the state command prints and a hook gets on
// its standard input. It is the spec's (runtime.md, State) with rootfs, created and
// owner, as runc has it.
func (s *State) JSON(indent string) []byte {
	j := jsonw.New(indent)
	s.AppendTo(j)
	return j.Buf
}

// AppendTo writes the document into a larger one.
func (s *State) AppendTo(j *jsonw.Writer) {
	j.Begin('{')
	j.Key("ociVersion").Str(s.OCIVersion)
	j.Key("id").Str(s.ID)
	j.Key("pid").Int(s.Pid)
	j.Key("status").Str(s.Status)
	j.Key("bundle").Str(s.Bundle)
	j.Key("rootfs").Str(s.Rootfs)
	j.Key("created").Str(s.Created.Format(time.RFC3339Nano))
	if len(s.Annotations) > 0 {
		j.Key("annotations").Begin('{')
		for _, name := range slices.Sorted(maps.Keys(s.Annotations)) {
			j.Key(name).Str(s.Annotations[name])
		}
		j.Close('}')
	}
	j.Key("owner").Str(s.Owner)
	j.Close('}')
}
