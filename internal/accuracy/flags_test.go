package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFlagsThatDoNotGoTogether(t *testing.T) {
	for _, test := range []struct {
		args string
		err  string
	}{
		{"-statistical", ""},
		{"-statistical -plan real", "leave -plan and -cost out"},
		{"-statistical -cost", "leave -plan and -cost out"},
		{"-plan everything", `"everything" is unknown`},
		{"-attach tepid", `-attach: "tepid"`},
		{"-requests 4", "at least 5"},
		{"-from saved.json -out accuracy.md -cells cells.tsv", ""},
		{"-from saved.json -plan real", "leave -plan out"},
		{"-from saved.json -workloads c/thread -save other.json", "leave -save out\n-from measures nothing: leave -workloads out"},
		{"c/thread", `unexpected argument "c/thread"`},
	} {
		_, err := parseFlags(strings.Fields(test.args))
		if test.err == "" {
			require.NoError(t, err, test.args)
			continue
		}
		require.ErrorContains(t, err, test.err, test.args)
	}
}
