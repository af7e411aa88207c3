// Package checkout reads files of the repository, for tests that compare them with the code.
package checkout

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// Read returns a file that is named from the root of the repository, whatever package the test is of.
func Read(t testing.TB, name string) []byte {
	t.Helper()
	_, here, _, _ := runtime.Caller(0)
	b, err := os.ReadFile(filepath.Join(filepath.Dir(here), "..", "..", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
