package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestReplaceCosts: -cost changes its own section, and nothing else of the document.
func TestReplaceCosts(t *testing.T) {
	r := &report{cost: []cost{{workload: workloads()[0], requests: 7, cpu: [states]time.Duration{1000, 2000, 3000}}}}
	name := filepath.Join(t.TempDir(), "accuracy.md")
	for _, rest := range []string{"", "\n## What others publish\n\n### more\n\nend\n"} {
		require.NoError(t, os.WriteFile(name, []byte("# title\n\ntext\n"+costsTitle+"\nold figures\n\n| of | programs |\n"+rest), 0o600))
		require.NoError(t, r.replaceCosts(name))
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		require.NotContains(t, string(text), "old figures")
		require.Contains(t, string(text), "# title\n\ntext\n"+costsTitle)
		require.Contains(t, string(text), "c/")
		require.Contains(t, string(text), "3.0 |")
		require.Equal(t, rest, string(text[len(text)-len(rest):]))
		before := len(text)
		require.NoError(t, r.replaceCosts(name))
		text, err = os.ReadFile(name)
		require.NoError(t, err)
		require.Len(t, text, before)
	}
	require.NoError(t, os.WriteFile(name, []byte("# another document\n"), 0o600))
	require.ErrorContains(t, r.replaceCosts(name), "-plan real")
}
