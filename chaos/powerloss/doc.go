// Package powerloss proves that a ledger survives the loss of power at any moment.
//
// What a power loss leaves of a file is not what was written last: of all that was
// written since the file's last sync, any part may be there. So a run of package
// ledger is recorded under strace, as it is built and without a hook in it:
// every write, change of size, name and sync in the ledger's folder ([Parse]). A [Disk]
// is played the recording. At each moment it knows what is durable and what only may
// be there; a list of [Choice] makes an [Image] of it: a state that the loss could
// leave, across all files. A worker opens each image with package ledger and compares
// all that it says with a model of what was promised by then.
//
// The model is played the same steps as the recorded ledger (world_test.go,
// step_test.go). Processes carry them out, one after another, each ended by closing the
// ledger, by SIGKILL at a system call, or by a power loss (drive_test.go,
// record_test.go). The worker is judge_test.go, the tests are replay_test.go. Recordings
// of which some syncs are taken out must fail: that shows that the tests can see.
//
// cut_linux_test.go is a second way, which shares none of these assumptions about file
// systems: a real one, ext4, that is cut off from its disk in the middle of a run.
package powerloss
