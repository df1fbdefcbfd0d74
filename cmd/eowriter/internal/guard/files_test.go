package guard

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// A file that others could have changed must not say who comes in, nor may a secret be one that others read; and what is no
// file must not hold up the start.
func TestReadFile(t *testing.T) {
	for _, test := range []struct {
		name      string
		make      func(t *testing.T, path string)
		forbidden uint32
		problem   string
	}{
		{"secret", writes("x", 0o600), secret, ""},
		{"secret, read by the group", writes("x", 0o640), secret, ""},
		{"secret, read by others", writes("x", 0o604), secret, "want 0640 or less"},
		{"secret, changed by the group", writes("x", 0o620), secret, "want 0640 or less"},
		{"certificate, read by others", writes("x", 0o644), unchanged, ""},
		{"certificate, changed by the group", writes("x", 0o664), unchanged, "want 0644 or less"},
		{"certificate, changed by others", writes("x", 0o646), unchanged, "want 0644 or less"},
		{"none", func(*testing.T, string) {}, secret, "no such file"},
		{"folder", func(t *testing.T, path string) { require.NoError(t, os.Mkdir(path, 0o700)) }, secret, "is no file"},
		{"pipe without a writer", func(t *testing.T, path string) { require.NoError(t, unix.Mkfifo(path, 0o600)) }, secret, "is no file"},
		{"as large as it may be", writes(string(make([]byte, maxFile)), 0o600), secret, ""},
		{"larger", writes(string(make([]byte, maxFile+1)), 0o600), secret, "more than 1 MiB"},
		{"somebody else's", func(t *testing.T, path string) {
			if os.Geteuid() != 0 {
				t.Skip("only root can give files away")
			}
			writes("x", 0o600)(t, path)
			require.NoError(t, os.Chown(path, 12345, 12345))
		}, secret, "somebody else's"},
		{"a link to a good one", func(t *testing.T, path string) {
			writes("x", 0o600)(t, path+".target")
			require.NoError(t, os.Symlink(path+".target", path))
		}, secret, ""},
		{"a link to one that others read", func(t *testing.T, path string) {
			writes("x", 0o644)(t, path+".target")
			require.NoError(t, os.Symlink(path+".target", path))
		}, secret, "want 0640 or less"},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "f")
			test.make(t, path)
			_, err := readFile(path, test.forbidden)
			if test.problem == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, test.problem)
			}
		})
	}
}

// writes makes a file, whatever the umask is.
func writes(text string, mode os.FileMode) func(*testing.T, string) {
	return func(t *testing.T, path string) {
		require.NoError(t, os.WriteFile(path, []byte(text), mode))
		require.NoError(t, os.Chmod(path, mode))
	}
}

// Only who is asked for something that others don't have may be let in from elsewhere.
func TestStrict(t *testing.T) {
	for files, want := range map[Files]bool{
		{}: false, {Tokens: "t"}: false, {Cert: "c", Key: "k"}: false,
		{Cert: "c", Key: "k", Tokens: "t"}: true, {Cert: "c", Key: "k", ClientCA: "a"}: true,
	} {
		require.Equal(t, want, files.Strict(), files)
	}
}
