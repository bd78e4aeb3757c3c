package integration

import (
	"github.com/opencontainers/runtime-spec/specs-go"
)

// mounts adds mounts to the config.
func mounts(m ...specs.Mount) change {
	return func(s *specs.Spec) { s.Mounts = append(s.Mounts, m...) }
}
