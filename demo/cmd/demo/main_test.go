package main

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestUnread: a pipe without readers, and nothing else.
func TestUnread(t *testing.T) {
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer w.Close()
	require.False(t, unread(w), "it has a reader")
	require.NoError(t, r.Close())
	require.True(t, unread(w))

	file, err := os.Create(t.TempDir() + "/file")
	require.NoError(t, err)
	defer file.Close()
	require.False(t, unread(file))
}
