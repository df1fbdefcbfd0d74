package workload

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"runtime/pprof"
	"syscall"
	"time"

	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
)

// childVariable holds the script of a child process.
const childVariable = "EOWRITER_CHAOS_CHILD"

// RunTime is what bounds a run where nothing else is said: far more than a short one needs.
const RunTime = 30 * time.Second

// IsChild says that this process was started by Script.Child, and so must do nothing
// but exit with what ChildMain returns.
func IsChild() bool { return os.Getenv(childVariable) != "" }

// ChildMain is the main function of a child: it runs the script, telling file
// descriptor 3 what it learns, until it ends or kills itself. It returns the exit
// code: 1 when partitions stopped, about which it writes to standard error.
func ChildMain() int {
	var s Script
	if err := json.Unmarshal([]byte(os.Getenv(childVariable)), &s); err != nil {
		die("read the script", err)
	}
	pipe := os.NewFile(3, "notes")
	tell := func(n Note) {
		line, err := json.Marshal(n)
		if err == nil {
			_, err = pipe.Write(append(line, '\n')) // one write: whole, also if we die right after it
		}
		if err != nil {
			die("tell", err)
		}
	}
	limit := s.Limit
	if limit == 0 {
		limit = RunTime
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	time.AfterFunc(limit-limit/10, func() { // before anything lets go
		fmt.Fprintln(os.Stderr, "this takes too long:")
		_ = pprof.Lookup("goroutine").WriteTo(os.Stderr, 1)
	})
	status := 0
	for partition, err := range s.Run(ctx, endpoint(s.Endpoint), tell) {
		fmt.Fprintf(os.Stderr, "partition %s: %v\n", partition, err)
		status = 1
	}
	return status
}

func endpoint(address string) []option.ClientOption {
	return []option.ClientOption{
		option.WithEndpoint(address),
		option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())),
		// As often as gRPC lets us: connections fall silent all the time here.
		option.WithGRPCDialOption(grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: time.Second})),
	}
}

// Child runs the script in a process of its own, made from a program and its
// arguments whose main function calls ChildMain, and waits for its end. started is
// given the process as soon as there is one, with a channel that is closed when it has
// ended; note is called with each note. It returns whether the child was killed; an
// error has what the child said if it ended otherwise.
func (s Script) Child(program []string, started func(p *os.Process, exited <-chan struct{}), note func(Note)) (killed bool, err error) {
	text, err := json.Marshal(s)
	if err != nil {
		return false, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return false, err
	}
	defer r.Close()
	cmd := exec.Command(program[0], program[1:]...)
	cmd.Env = append(os.Environ(), childVariable+"="+string(text))
	cmd.ExtraFiles = []*os.File{w}
	cmd.SysProcAttr = dieWithUs()
	var errs bytes.Buffer
	cmd.Stderr = &errs

	// The kernel kills the child when the thread that started it ends: it must stay until then.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err = cmd.Start()
	_ = w.Close()
	if err != nil {
		return false, err
	}
	exited := make(chan struct{})
	started(cmd.Process, exited)
	misread := readNotes(r, note)
	err = cmd.Wait()
	close(exited)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		status, ok := exit.Sys().(syscall.WaitStatus)
		killed = ok && status.Signaled() && status.Signal() == syscall.SIGKILL
	}
	if err != nil && !killed {
		return false, fmt.Errorf("%w: %s", err, errs.String())
	}
	return killed, misread
}

// readNotes reads to the end, also after something that is no note.
func readNotes(r io.Reader, note func(Note)) (misread error) {
	for lines := bufio.NewScanner(r); lines.Scan(); {
		var n Note
		if err := json.Unmarshal(lines.Bytes(), &n); err != nil {
			misread = fmt.Errorf("a child said %q: %w", lines.Text(), err)
			continue
		}
		note(n)
	}
	return misread
}
