package powerloss

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// onOpenFile returns the path of the open file that is the first argument, if it is one.
func onOpenFile(arguments string) (on bool, path string, err error) {
	digits := strings.IndexFunc(arguments, func(r rune) bool { return r < '0' || r > '9' })
	if digits <= 0 || arguments[digits] != '<' {
		return false, "", nil
	}
	end := strings.IndexByte(arguments, '>')
	if end < 0 {
		return false, "", fmt.Errorf("a path without an end")
	}
	b, err := unescape(arguments[digits+1 : end])
	if strings.HasPrefix(arguments[end:], ">"+Deleted) {
		b = append(b, Deleted...)
	}
	return true, string(b), err
}

// quoted returns the strings among the arguments.
func quoted(arguments string) (all [][]byte, err error) {
	for {
		_, rest, ok := strings.Cut(arguments, `"`)
		if !ok {
			return all, nil
		}
		text, after, ok := strings.Cut(rest, `"`)
		if !ok {
			return nil, fmt.Errorf("a string without an end")
		}
		b, err := unescape(text)
		if err != nil {
			return nil, err
		}
		all, arguments = append(all, b), after
	}
}

// unescape reads what strace writes with -xx. Names of what is no file, such as
// pipe:[1], are not escaped.
func unescape(text string) ([]byte, error) {
	if !strings.HasPrefix(text, `\x`) {
		return []byte(text), nil
	}
	b, err := hex.DecodeString(strings.ReplaceAll(text, `\x`, ""))
	if err != nil || len(text) != 4*len(b) {
		return nil, fmt.Errorf("a string that is not escaped whole")
	}
	return b, nil
}

func lastNumber(arguments string) (int64, error) {
	n, err := strconv.ParseInt(arguments[strings.LastIndexByte(arguments, ' ')+1:], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("the last argument: %w", err)
	}
	return n, nil
}
