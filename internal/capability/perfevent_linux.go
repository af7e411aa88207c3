package capability

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// PerfEvents says whether this process may open perf events, which probes of executables are attached with, and whether
// it would be refused without CAP_SYS_ADMIN. Linux asks for CAP_PERFMON; kernels of Debian, Ubuntu and others know
// values of kernel.perf_event_paranoid that Linux does not, at which some ask for CAP_SYS_ADMIN. So the kernel is asked
// for an event that counts nothing.
func PerfEvents() (needAdmin bool, err error) {
	if err = openPerfEvent(); err != nil {
		return false, err
	}
	return Without(SysAdmin, openPerfEvent) != nil, nil
}

func openPerfEvent() error {
	attr := unix.PerfEventAttr{
		Type: unix.PERF_TYPE_SOFTWARE, Size: unix.PERF_ATTR_SIZE_VER1, Config: unix.PERF_COUNT_SW_DUMMY,
		Bits: unix.PerfBitDisabled | unix.PerfBitExcludeKernel | unix.PerfBitExcludeHv,
	}
	fd, err := unix.PerfEventOpen(&attr, 0, -1, -1, unix.PERF_FLAG_FD_CLOEXEC)
	if err != nil {
		return fmt.Errorf("perf_event_open: %w", err)
	}
	return unix.Close(fd)
}
