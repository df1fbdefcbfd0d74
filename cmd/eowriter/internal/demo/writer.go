package demo

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// runWriter runs the writer over all files, kills it with SIGKILL once the emulator has received so many rows, and
// waits for its end. It returns false if the writer came to its end by itself.
func (st *stage) runWriter(ctx context.Context, killAt int64) (killed bool, err error) {
	args := []string{"load", "--table", tableFlag, "--ledger", st.ledgerPath(),
		"--endpoint", st.emu.Addr(), "--insecure", "--batch-rows", "250", "--json"}
	for _, name := range st.files {
		args = append(args, filepath.Join(st.dir, name))
	}
	cmd := exec.CommandContext(ctx, st.opt.Program, args...) // killed when ctx ends
	cmd.Dir = st.dir
	cmd.Env = environment()
	var said tail
	cmd.Stderr = &said
	cmd.SysProcAttr = dieWithUs()

	// The kernel kills the writer when the thread that started it ends: it must stay until then.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		return false, fmt.Errorf("start the writer: %w", err)
	}
	st.watch.arm(killAt, func() {
		killed = true
		_ = cmd.Process.Kill() // fails only when it has ended
	})
	err = cmd.Wait()
	st.watch.arm(0, nil) // from here on killed is ours again
	switch {
	case ctx.Err() != nil:
		return false, ctx.Err()
	case err == nil:
		return false, nil
	case killed:
		return true, nil
	}
	return false, fmt.Errorf("the writer failed: %w: %s", err, said.String())
}

// environment is ours without the variables that set flags of the writer.
func environment() []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "EOWRITER_") {
			env = append(env, v)
		}
	}
	return env
}

// tail keeps the last bytes written to it.
type tail struct{ b []byte }

const tailSize = 4 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.b = append(t.b, p...)
	if over := len(t.b) - tailSize; over > 0 {
		t.b = append(t.b[:0], t.b[over:]...)
	}
	return len(p), nil
}

func (t *tail) String() string { return strings.TrimSpace(string(t.b)) }
