package cgroups

import (
	"github.com/opencontainers/runtime-spec/specs-go"

	"berth/libcontainer/cgroups/devfilter"
)

// devices appends the writes for the rules of the config and for the defaults.
func (l *limits) devices(rules []specs.LinuxDeviceCgroup) error {
	list, err := devfilter.New(rules)
	if err != nil {
		return err
	}
	file, why := "deny", "deny all devices but those that follow"
	if list.Allow {
		file, why = "allow", "allow all devices but those that follow"
	}
	l.deviceWrite(file, "a", why, list.JSONPath)
	file = "allow"
	if list.Allow {
		file = "deny"
	}
	for i := range list.Exceptions {
		e := &list.Exceptions[i]
		why := e.Why
		if why == "" {
			why = file + " a device"
		}
		l.deviceWrite(file, e.String(), why, e.JSONPath)
	}
	return nil
}

func (l *limits) deviceWrite(file, data, why, json string) {
	l.writes = append(l.writes, write{
		controller: "devices", file: "devices." + file, data: data, why: why, json: json,
	})
}
