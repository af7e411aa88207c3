package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseFlags(t *testing.T) {
	o, err := parseFlags([]string{"-objects", "old.o,new.o", "-cold", "4096"})
	require.NoError(t, err)
	require.Equal(t, options{
		objects: []string{"old.o", "new.o"}, rounds: 21, requests: 1000, cold: 4096, ring: 16 << 20,
	}, o)
	for _, wrong := range [][]string{
		{"-rounds", "0"}, {"-requests", "0"}, {"-cold", "-1"}, {"-cold", "262145"}, {"-ring", "3"}, {"-ring", "2048"},
	} {
		_, err := parseFlags(wrong)
		require.ErrorContains(t, err, wrong[0])
	}
}

func TestQuartile(t *testing.T) {
	of := []float64{5, 1, 4, 2, 3}
	require.Equal(t, 3.0, quartile(of, 2))
	require.Equal(t, 2.0, quartile(of, 1))
	require.Equal(t, 4.0, quartile(of, 3))
	require.Equal(t, []float64{5, 1, 4, 2, 3}, of, "in the order of the rounds")
}
