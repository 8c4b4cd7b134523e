// Command demo shows the main job of tpmkey from end to end, each step with the
// command that a user could type: an unprivileged user makes a key in a TPM, logs
// in over ssh with it, serves TLS with it, and cannot harm the TPM.
//
// It works on a simulated TPM of its own unless -device names a chip, of which it
// touches nothing but the key it made. It leaves nothing behind, also when it is
// interrupted. Run by root, the user is "nobody".
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"
)

const (
	exitFailed = 1
	exitUsage  = 2
)

// limit ends a demo that hangs. A slow chip needs half a minute for a key.
const limit = 5 * time.Minute

// The kernel kills a child when the thread ends that started it (Pdeathsig). All
// children are started by the main goroutine, so it keeps the main thread.
func init() { runtime.LockOSThread() }

func main() {
	if len(os.Args) == 3 && os.Args[1] == "clear" {
		os.Exit(clearMain(os.Args[2]))
	}
	build := flag.String("build", "build", "take the programs from the folder `DIR`")
	device := flag.String("device", "", "use the chip `SPEC` instead of a simulated one")
	flag.Parse()
	if flag.NArg() > 0 {
		flag.Usage()
		os.Exit(exitUsage)
	}
	if err := demo(*build, *device); err != nil {
		fmt.Fprintln(os.Stderr, "demo: error:", err)
		os.Exit(exitFailed)
	}
}

// demo runs all steps up to the first that fails, and cleans up in any case.
func demo(build, device string) (err error) {
	start := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		<-interrupts // later ones must not disturb the cleaning up
		cancel()
	}()

	s, err := newStage(ctx, build, device)
	if err != nil {
		return err
	}
	defer func() {
		if closing := s.close(); err == nil {
			err = closing
		}
		if err == nil {
			fmt.Printf("\nDone in %.1f s. Nothing is left behind.\n", time.Since(start).Seconds())
		}
	}()
	return s.play()
}

// step is one scene of the demo.
type step struct {
	title string
	run   func(*stage) error
}

var steps = []step{
	{"A chip", (*stage).showChip},
	{"tpmkeyd owns the chip and lets anybody use it, filtered", (*stage).showBroker},
	{"An unprivileged user makes an RSA key in the chip", (*stage).showNew},
	{"ssh-keygen finds the key through the PKCS #11 module", (*stage).showList},
	{"The key logs in over ssh", (*stage).showLogin},
	{"The key serves TLS 1.3, from a Go program", (*stage).showTLS},
	{"The same user tries to clear the TPM, and is refused", (*stage).showClear},
	{"The key goes away", (*stage).showDelete},
}

func (s *stage) play() error {
	for i, step := range steps {
		fmt.Printf("\n%d. %s\n", i+1, step.title)
		err := step.run(s)
		if s.ctx.Err() == context.Canceled {
			return fmt.Errorf("interrupted in step %d", i+1)
		}
		if err != nil {
			return fmt.Errorf("step %d: %w", i+1, err)
		}
	}
	return nil
}
