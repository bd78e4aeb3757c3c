package cli

import (
	"strconv"

	"golang.org/x/sys/unix"

	"berth/libcontainer"
	"berth/libcontainer/program"
)

// The JSON of `explain --json`. The names are stable: fields may be added, none
// changes its meaning.
type (
	explainDoc struct {
		ID     string `json:"id"`
		Bundle string `json:"bundle"`
		Rootfs string `json:"rootfs"`
		// Host is what of this host the plan depends on.
		Host explainHost `json:"host"`
		// Warnings are sentences about what is asked for and will not be had.
		Warnings []string `json:"warnings"`
		// Actions are what the runtime does before the child is born.
		Actions []explainAction `json:"actions"`
		// Namespaces are those that the child is born into.
		Namespaces []string `json:"namespaces"`
		// Steps is the child's program.
		Steps []explainStep `json:"steps"`
		// Hooks are those of the config, in the order in which they run.
		Hooks []explainHook `json:"hooks,omitempty"`
	}
	explainHook struct {
		Kind string   `json:"kind"`
		Path string   `json:"path"` // the property in config.json
		File string   `json:"file"`
		Args []string `json:"args"`
		// Where says in which namespaces it runs: runtime, container.
		Where string `json:"where"`
		// Barrier is where the child waits for it; empty after the last one.
		Barrier string `json:"barrier,omitempty"`
		// Timeout is in seconds.
		Timeout *int `json:"timeout,omitempty"`
	}
	explainHost struct {
		Kernel        string `json:"kernel"`
		EUID          int    `json:"euid"`
		EGID          int    `json:"egid"`
		UserNamespace bool   `json:"userNamespace"`
		Cgroup        string `json:"cgroup"` // none, legacy, hybrid, unified
		AppArmor      bool   `json:"apparmor"`
		SELinux       bool   `json:"selinux"`
		Seccomp       bool   `json:"seccomp"`
		MemfdExec     bool   `json:"memfdExec"`
	}
	explainAction struct {
		Number int    `json:"number"`
		Kind   string `json:"kind"` // see cgroups.ActionKind
		File   string `json:"file"`
		// Else is the file that is written where the kernel has no File.
		Else      string `json:"else,omitempty"`
		ElseValue string `json:"elseValue,omitempty"`
		Value     string `json:"value,omitempty"`
		Why       string `json:"why"`
		// Path is the property in config.json that asked for it.
		Path string `json:"path,omitempty"`
		// Optional actions do not fail for a file that the kernel lacks.
		Optional bool `json:"optional,omitempty"`
	}
	explainStep struct {
		Number int    `json:"number,omitempty"` // a fixup's steps have none
		Phase  string `json:"phase,omitempty"`
		Why    string `json:"why"`
		Call   string `json:"call"`
		Path   string `json:"path,omitempty"`
		// Barrier is its name where the child waits for the runtime.
		Barrier  string            `json:"barrier,omitempty"`
		Harmless []explainHarmless `json:"harmless,omitempty"`
		Fixups   []explainFixup    `json:"fixups,omitempty"`
	}
	// explainHarmless is an errno that is no failure, and the number of the step
	// that then comes next.
	explainHarmless struct {
		Errno string `json:"errno"`
		Next  int    `json:"next"`
	}
	explainFixup struct {
		On    []string      `json:"on"` // errnos
		Why   string        `json:"why"`
		Then  string        `json:"then"` // retry, next
		Steps []explainStep `json:"steps,omitempty"`
	}
)

func explainJSON(plan *libcontainer.Setup) ([]byte, error) {
	f := plan.Facts
	doc := explainDoc{
		ID: plan.ID, Bundle: plan.Bundle.Path, Rootfs: plan.Bundle.Rootfs,
		Host: explainHost{
			Kernel: kernelName(plan), EUID: f.EUID, EGID: f.EGID, UserNamespace: f.UserNS, Cgroup: f.Cgroup.Mode.String(),
			AppArmor: f.AppArmor, SELinux: f.SELinux, Seccomp: f.Seccomp, MemfdExec: f.MemfdExec,
		},
		Warnings:   planWarnings(plan),
		Actions:    []explainAction{},
		Namespaces: namespaceNames(plan.Program.CloneFlags),
	}
	if plan.Cgroups != nil {
		for i, a := range plan.Cgroups.Actions {
			doc.Actions = append(doc.Actions, explainAction{
				Number: i + 1, Kind: a.Kind.String(), File: a.Path, Else: a.Else, ElseValue: a.ElseData, Value: a.Data,
				Why: a.Why, Path: a.JSONPath, Optional: a.Optional,
			})
		}
	}
	doc.Steps = explainSteps(plan.Program.Steps, true)
	for _, h := range plan.Hooks() {
		e := explainHook{Kind: h.Kind, Path: h.JSONPath, File: h.Path, Args: h.Args, Where: "runtime", Timeout: h.Timeout}
		if h.Inside {
			e.Where = "container"
		}
		if h.Barrier != 0 {
			e.Barrier = h.Barrier.String()
		}
		doc.Hooks = append(doc.Hooks, e)
	}
	return indented(&doc)
}

func explainSteps(steps []program.Step, numbered bool) []explainStep {
	out := make([]explainStep, len(steps))
	for i := range steps {
		st := &steps[i]
		s := explainStep{Why: st.Why, Call: st.Text(), Path: st.JSONPath}
		if numbered {
			s.Number, s.Phase = i+1, st.Phase.String()
		}
		if st.Call == program.CallBarrier {
			s.Barrier = program.Barrier(st.Args[0].Number()).String()
		}
		for _, h := range st.Harmless {
			s.Harmless = append(s.Harmless, explainHarmless{unix.ErrnoName(h.Errno), i + 2 + h.Skip})
		}
		for _, m := range st.Fixups {
			e := explainFixup{On: errnoNames(m.On), Why: m.Why, Then: "retry"}
			if m.Then == program.Next {
				e.Then = "next"
			}
			if len(m.Steps) > 0 {
				e.Steps = explainSteps(m.Steps, false)
			}
			s.Fixups = append(s.Fixups, e)
		}
		out[i] = s
	}
	return out
}

func errnoNames(list []unix.Errno) []string {
	names := make([]string, len(list))
	for i, no := range list {
		names[i] = unix.ErrnoName(no)
	}
	return names
}

func kernelName(plan *libcontainer.Setup) string {
	k := plan.Facts.Kernel
	return strconv.Itoa(k.Major) + "." + strconv.Itoa(k.Minor)
}

func planWarnings(plan *libcontainer.Setup) []string {
	all := []string{}
	for _, w := range plan.Program.Warnings {
		all = append(all, w.Error())
	}
	return append(all, plan.Warnings...)
}
