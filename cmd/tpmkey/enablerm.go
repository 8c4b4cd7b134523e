package main

import (
	"cmp"
	"errors"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"

	"tpmkey.example/rm/device"
)

const enableRMDetails = `
Puts a resource manager before a raw TPM and runs PROGRAM with it: every command is
let through, but handles are the program's own, and it may hold more keys and
sessions than the TPM has room for. It is for whoever may open the raw device anyway,
which is root; what others get is tpmkeyd's.

  -device SPEC  the raw TPM (default /dev/tpm0), or a descriptor of it that was
                inherited: fd:N

PROGRAM finds it as descriptor 3, a socket that takes and gives what /dev/tpm0 does;
programs of tpmkey find it by TPMKEY_DEVICE=fd:3. It ends with PROGRAM, whose exit
code is its own.
`

// rawDevice is what has no manager.
const rawDevice = "/dev/tpm0"

// runEnableRM stays before the TPM as long as the program runs.
func runEnableRM(t *tool, args []string) error {
	if len(args) == 0 {
		return usageError("enable-rm: which program? run: tpmkey enable-rm -- PROGRAM")
	}
	chip, err := device.EnableRM(cmp.Or(t.device, rawDevice))
	if err != nil {
		return err
	}
	defer chip.Close()
	ours, theirs, err := socketPair()
	if err != nil {
		return err
	}
	defer ours.Close()
	program := exec.Command(args[0], args[1:]...)
	program.Stdin, program.Stdout, program.Stderr = t.stdin, os.Stdout, os.Stderr
	program.ExtraFiles = []*os.File{theirs}
	program.Env = append(os.Environ(), "TPMKEY_DEVICE=fd:3")
	err = program.Start()
	theirs.Close()
	if err != nil {
		return err
	}
	go func() {
		if err := device.Serve(ours, chip); err != nil {
			ours.Close() // the program is told so by the end of its stream
		}
	}()
	err = program.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return reportedStatus(exitCodeOf(exit))
	}
	return err
}

// exitCodeOf is a program's, or what a shell says of one that a signal has ended.
func exitCodeOf(exit *exec.ExitError) int {
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return exit.ExitCode()
}

func socketPair() (ours, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	return os.NewFile(uintptr(fds[0]), "socket"), os.NewFile(uintptr(fds[1]), "socket"), nil
}
