package program

import (
	"golang.org/x/sys/unix"
)

// What Program.Rights has to do with steps.

// capSets are the sets of the config, as capset(2) takes them.
func capSets(f *flow, _ *Step, d *Data) bool {
	if !sized(d, 24) {
		return false
	}
	w := &f.v.p.Rights
	for half := range 2 {
		for i, set := range [...]uint64{w.Effective, w.Permitted, w.Inheritable} {
			if le.Uint32(d.Bytes[12*half+4*i:]) != uint32(set>>(32*half)) {
				return false
			}
		}
	}
	return true
}

func mayRaise(f *flow, st *Step, _ *known) string {
	if f.v.p.Rights.Ambient&(1<<st.Args[2].n) == 0 {
		return "an ambient capability that the process is not to have"
	}
	return ""
}

func mayDrop(f *flow, st *Step, _ *known) string {
	if f.v.p.Rights.Bounding&(1<<st.Args[1].n) != 0 {
		return "a capability that the process is to have"
	}
	return ""
}

// isGroups says whether setgroups sets those of the config.
func (w *Rights) isGroups(d *Data) bool {
	if d == nil || len(d.Bytes) != 4*len(w.Groups) {
		return false
	}
	for i, g := range w.Groups {
		if le.Uint32(d.Bytes[4*i:]) != g {
			return false
		}
	}
	return true
}

// rights is what the process lacks of the rights that it is to have, or has beyond
// them.
func (k *known) rights(w *Rights) string {
	all := uint64(1)<<(w.LastCap+1) - 1
	switch {
	case k.dropped != all&^w.Bounding:
		return "the bounding set must be what the config has"
	case k.facts&factUser == 0 || k.facts&factGroup == 0:
		return "the process must be the user and the group of the config"
	case k.facts&factGroups == 0:
		return "the process must have no groups but those of the config"
	case k.facts&factCaps == 0:
		return "the process must have the capabilities of the config, and no others"
	case w.NoNewPrivileges && k.facts&factNoNew == 0:
		return "the process must get no new privileges"
	}
	return ""
}

// become is what changes of user, groups and capabilities come to.
func (f *flow) become(st *Step, k *known, ok bool) {
	w := &f.v.p.Rights
	set := func(fact facts, on bool) {
		if k.facts &^= fact; on {
			k.facts |= fact
		}
	}
	switch st.Call {
	case CallSetresuid:
		// The kernel takes capabilities away with the user, or gives all of them back.
		set(factUser, ok && st.Args[0].n == uint64(w.UID))
		k.facts &^= factCaps
	case CallSetresgid:
		set(factGroup, ok && st.Args[0].n == uint64(w.GID))
	case CallSetgroups:
		// An ordinary user's map may forbid it (user_namespaces(7)): where no groups are
		// asked for, those that are there stay.
		denied := !ok && len(w.Groups) == 0 && f.v.p.Namespaces&unix.CLONE_NEWUSER != 0
		set(factGroups, (ok || denied) && w.isGroups(st.Args[1].data))
	case CallPrctl:
		if ok && st.Args[0].n == unix.PR_CAPBSET_DROP {
			k.dropped |= 1 << st.Args[1].n
		}
	}
}
