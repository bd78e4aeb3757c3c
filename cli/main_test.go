package cli

import (
	"testing"

	"berth/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }
