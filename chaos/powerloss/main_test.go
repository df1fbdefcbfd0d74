package powerloss

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"go.uber.org/goleak"
)

// jobVariable makes this a child process, which reads its job from standard input.
const jobVariable = "EOWRITER_POWERLOSS_CHILD"

// job is one of what children do.
type job struct {
	Drive *driveJob `json:",omitempty"`
	Judge *judgeJob `json:",omitempty"`
}

var (
	seedFlag      = flag.Uint64("powerloss.seed", 0, "seed of the runs; 0: a new one, which is printed")
	imagesFlag    = flag.Int("powerloss.images", 5_000, "disk images that TestReplay looks at")
	recordingFlag = flag.String("powerloss.recording", "", "recording that TestRecording looks at")
	cutsFlag      = flag.Int("powerloss.cuts", 10, "power cuts of a file system that TestCut makes")
)

func TestMain(m *testing.M) {
	if os.Getenv(jobVariable) != "" {
		os.Exit(childMain())
	}
	goleak.VerifyTestMain(m)
}

func childMain() int {
	var j job
	err := json.NewDecoder(os.Stdin).Decode(&j)
	switch {
	case err != nil:
	case j.Drive != nil:
		err = j.Drive.run()
	case j.Judge != nil:
		err = j.Judge.run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// child is a process with a job: this program, or another one that is told to run it.
func child(j job, under ...string) (*exec.Cmd, error) {
	text, err := json.Marshal(j)
	if err != nil {
		return nil, err
	}
	line := append(under, os.Args[0])
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Env = append(os.Environ(), jobVariable+"=1")
	cmd.Stdin = bytes.NewReader(text)
	return cmd, nil
}
