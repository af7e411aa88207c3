package tokioruntime

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/bpf"
	"github.com/otelcol-ebpf/otelcol-ebpf/internal/bpftest"
)

// hash is how rustc's legacy mangling ends.
const hash = "17h0a7119512fb819c2E"

// TestFunctionOf: names of rustc 1.63 and 1.95, of tokio 1.24.
const timeHandle = "_ZN5tokio7runtime4time54_$LT$impl$u20$tokio..runtime..time..handle..Handle$GT$"

func TestFunctionOf(t *testing.T) {
	for symbol, want := range map[string]string{
		"_ZN5tokio7runtime4task3raw4poll" + hash:                                       "raw::poll",
		"_ZN5tokio7runtime4task3raw4poll" + hash + ".llvm.7495978291149573055":         "raw::poll",
		"_ZN5tokio7runtime4task3raw7RawTask4poll" + hash:                               "",
		"_ZN5tokio7runtime4task3raw4poll28_$u7b$$u7b$closure$u7d$$u7d$" + hash:         "",
		"_ZN5tokio7runtime4task3raw7dealloc" + hash:                                    "raw::dealloc",
		"_ZN5tokio7runtime4task5waker11wake_by_val" + hash:                             "waker::wake_by_val",
		"_ZN5tokio7runtime4task5waker11wake_by_ref" + hash:                             "waker::wake_by_ref",
		"_ZN5tokio7runtime4task3raw7RawTask3new" + hash:                                "RawTask::new",
		"_ZN5tokio7runtime4task4list19OwnedTasks$LT$S$GT$4bind" + hash:                 "OwnedTasks::bind",
		"_ZN5tokio7runtime8blocking4pool14spawn_blocking" + hash:                       "pool::spawn_blocking",
		"_ZN5tokio7runtime8blocking4pool7Spawner14spawn_blocking" + hash:               "",
		"_ZN5tokio4task5spawn5spawn" + hash:                                            "task::spawn",
		"_ZN5tokio7runtime9scheduler6Handle5spawn" + hash:                              "Handle::spawn",
		"_ZN4core3ptr49drop_in_place$LT$tokio..runtime..task..raw..poll$GT$" + hash:    "",
		"_RINvNtNtNtCs9t6FQZwmR8b_5tokio7runtime4task3raw4pollNCNvCs8Wh_5tasks5serve0": "raw::poll",
		"_RINvNtNtNtCs9t6FQZwmR8b_5tokio7runtime4task3raw7deallocNCNvCs8Wh_5tasks3act": "raw::dealloc",
		"_RNvNtNtNtCs9t6FQZwmR8b_5tokio7runtime4task5waker11wake_by_val":               "waker::wake_by_val",
		"_RINvNtNtCs9t6FQZwmR8b_5tokio4task5spawn5spawnNCNvCs8Wh_5tasks3act0EBL_":      "task::spawn",
		"_RINvMNtNtNtCs9t6FQZwmR8b_5tokio7runtime4task4listINtB3_10OwnedTasksINtNtCs" +
			"lNYArtu3iFV_5alloc4sync3ArcNtNtNtB7_9scheduler14current_thread6HandleEE4bindNCNvCs8Wh_5tasks5serve": "OwnedTasks::bind",
		"_ZN5tokio4sync15batch_semaphore9Semaphore18add_permits_locked" + hash:                               "Semaphore::add_permits_locked",
		"_ZN5tokio4sync15batch_semaphore9Semaphore18add_permits_locked28_$u7b$$u7b$closure$u7d$$u7d$" + hash: "",
		"_ZN5tokio4util9wake_list8WakeList8wake_all" + hash:                                                  "WakeList::wake_all",
		"_ZN5tokio4util9wake_list8WakeList8can_push" + hash:                                                  "",
		timeHandle + "15process_at_time" + hash:                                                              "time::Handle::process",
		timeHandle + "7process" + hash:                                                                       "time::Handle::process",
		timeHandle + "15process_at_time28_$u7b$$u7b$closure$u7d$$u7d$" + hash:                                "",
		"_ZN5tokio7runtime4time5wheel5Wheel18process_expiration" + hash:                                      "",
		"_ZN5tokio7runtime4time6Driver13park_internal" + hash:                                                "",
		"_RNvMs_NtNtCsi3BfHL2q5Dq_5tokio7runtime4timeNtNtB4_6handle6Handle15process_at_time":                 "time::Handle::process",
		"_RNvMs_NtNtCsi3BfHL2q5Dq_5tokio7runtime4timeNtNtB4_6handle6Handle15process_at_time.llvm.31":         "time::Handle::process",
		"_RNvMs_NtNtCsi3BfHL2q5Dq_5tokio7runtime4timeNtNtB4_6handle6Handle7process":                          "time::Handle::process",
		"_RNCNvMs_NtNtCsi3BfHL2q5Dq_5tokio7runtime4timeNtNtB6_6handle6Handle15process_at_time0Ba_":           "",
		"_RNvMNtNtCsi3BfHL2q5Dq_5tokio7runtime4timeNtB2_6Driver13park_internal":                              "",
		"_RNvMNtNtNtCsi3BfHL2q5Dq_5tokio7runtime4time5wheelNtB2_5Wheel18process_expiration":                  "",
		"_ZN4core4task4wake5Waker11wake_by_ref" + hash:                                                       "Waker::wake",
		"_ZN4core4task4wake5Waker9will_wake" + hash:                                                          "",
		"_RNvMs0_NtNtCs9t6FQZwmR8b_5tokio4sync15batch_semaphoreNtB5_9Semaphore18add_permits_locked":          "Semaphore::add_permits_locked",
		"_RNvMNtNtCs9t6FQZwmR8b_5tokio4util9wake_listNtB2_8WakeList8wake_all":                                "WakeList::wake_all",
		"_RNvMsf_NtNtCsaGL8_4core4task4wakeNtB5_5Waker4wake":                                                 "Waker::wake",
		"_RINvNtNtNtCs9t6FQZwmR8b_5tokio7runtime4task3raw15try_read_outputNCNvCs8Wh_5tasks3act0":             "",
	} {
		got := ""
		if f := functionOf(symbol); f != nil {
			got = f.name
		}
		require.Equal(t, want, got, symbol)
	}
}

// TestMakers: one layer where it is whole, else all that there are.
func TestMakers(t *testing.T) {
	for name, tc := range map[string]struct {
		copies map[string]int
		want   []string
	}{
		"nothing is inlined": {
			map[string]int{"raw::poll": 3, "RawTask::new": 3, "OwnedTasks::bind": 2, "pool::spawn_blocking": 1, "task::spawn": 2},
			[]string{"RawTask::new"},
		},
		"the inner ones are": {
			map[string]int{"raw::poll": 3, "OwnedTasks::bind": 2, "pool::spawn_blocking": 1, "task::spawn": 2},
			[]string{"OwnedTasks::bind", "pool::spawn_blocking"},
		},
		"some are": {
			map[string]int{"raw::poll": 3, "OwnedTasks::bind": 1, "pool::spawn_blocking": 1, "task::spawn": 2},
			[]string{"OwnedTasks::bind", "pool::spawn_blocking", "task::spawn"},
		},
		"all are": {map[string]int{"raw::poll": 3}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			found := map[*function][]uint64{}
			for _, f := range functions {
				if n := tc.copies[f.name]; n > 0 {
					found[f] = make([]uint64, n)
				}
			}
			var got []string
			for _, f := range makers(found) {
				got = append(got, f.name)
			}
			require.ElementsMatch(t, tc.want, got)
		})
	}
}

// build links a program that has functions of these names, and the name of a source file of tokio's.
func build(t *testing.T, names []string, flags ...string) string {
	t.Helper()
	if _, err := exec.LookPath("cc"); err != nil {
		bpftest.Lacks(t, "cc")
	}
	code := "const char *volatile source = \"/registry/tokio-1.24.2/src/runtime/task/state.rs\";\n"
	for i, name := range names {
		n := string(rune('a' + i))
		code += "int f" + n + "(void) __asm__(\"" + name + "\"); int f" + n + "(void) { return " + strings.Repeat("1 + ", i) + "1; }\n"
	}
	dir := t.TempDir()
	source, exe := filepath.Join(dir, "x.c"), filepath.Join(dir, "x")
	require.NoError(t, os.WriteFile(source, []byte(code+"int main(void) { return !source; }\n"), 0o600))
	out, err := exec.Command("cc", append(flags, "-o", exe, source)...).CombinedOutput() //nolint:gosec // a test
	require.NoError(t, err, string(out))
	return exe
}

// TestInspect: what is found in an executable, and what is said of one that lacks it.
func TestInspect(t *testing.T) {
	all := []string{
		"_ZN5tokio7runtime4task3raw4poll" + hash, "_ZN5tokio7runtime4task3raw7dealloc" + hash,
		"_ZN5tokio7runtime4task5waker11wake_by_val" + hash, "_ZN5tokio7runtime4task3raw7RawTask3new" + hash,
	}
	lock := "_ZN5tokio4sync15batch_semaphore9Semaphore18add_permits_locked" + hash
	for name, tc := range map[string]struct {
		names []string
		flags []string
		want  map[Kind]int
		wakes int
		by    Kind // Lock, if 0
		err   string
	}{
		"all":         {names: all, want: map[Kind]int{Poll: 1, Gone: 1, Wake: 1, Made: 1}},
		"a time":      {names: append(all[:2:2], timeHandle+"7process"+hash), want: map[Kind]int{Poll: 1, Gone: 1}, wakes: 1, by: Time},
		"a lock":      {names: append(all[:2:2], lock), want: map[Kind]int{Poll: 1, Gone: 1}, wakes: 1},
		"not moved":   {names: append(all[:2:2], lock), flags: []string{"-no-pie"}, want: map[Kind]int{Poll: 1, Gone: 1}, wakes: 1},
		"nothing":     {err: "strip"},
		"stripped":    {names: all, flags: []string{"-s"}, err: "strip"},
		"not dealloc": {names: all[:1], err: "no function raw::dealloc"},
	} {
		t.Run(name, func(t *testing.T) {
			exe := build(t, tc.names, tc.flags...)
			found, err := Inspect(exe)
			if tc.err != "" {
				require.ErrorContains(t, err, tc.err)
				require.NotErrorIs(t, err, ErrOther)
				return
			}
			require.NoError(t, err)
			got := map[Kind]int{}
			file, err := os.Stat(exe)
			require.NoError(t, err)
			for _, s := range found.Sites {
				got[s.Kind]++
				require.Equal(t, s.Kind == Made, s.Return)
				require.Less(t, s.Offset, uint64(file.Size()))
			}
			require.Equal(t, tc.want, got)
			require.Len(t, found.Wakes, tc.wakes)
			for _, w := range found.Wakes {
				require.Equal(t, max(tc.by, Lock), w.Kind)
				require.NotZero(t, w.Size)
				require.Less(t, w.Start-found.TextStart, found.TextSize)
				require.Greater(t, w.Start, found.Base)
			}
		})
	}
	require.Len(t, bpf.SocketTokioTarget{}.Wakes, MaxWakes)
}

func TestInspectOther(t *testing.T) {
	exe, err := os.Executable()
	require.NoError(t, err)
	// The names of tokio's sources are in this test.
	if _, err := Inspect(exe); err == nil {
		t.Fatal("a Go program has no tasks of tokio")
	}
	text := filepath.Join(t.TempDir(), "text")
	require.NoError(t, os.WriteFile(text, []byte("/tokio-1."), 0o600))
	_, err = Inspect(text)
	require.ErrorIs(t, err, ErrOther)
}

// FuzzInspect: whatever the file is, it is refused or has sites within it.
func FuzzInspect(f *testing.F) {
	exe, err := os.Executable()
	require.NoError(f, err)
	data, err := os.ReadFile(exe)
	require.NoError(f, err)
	f.Add(data[:4096])
	f.Fuzz(func(t *testing.T, data []byte) {
		found, err := inspect(strings.NewReader(string(data)))
		if err != nil {
			return
		}
		for _, s := range found.Sites {
			require.Less(t, s.Offset, uint64(len(data)))
		}
	})
}
