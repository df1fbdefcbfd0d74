package source

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxName is how many bytes the ledger takes as a partition's name.
const maxName = 200

// PartitionName makes a partition's name of prefix and a file's base name. A partition's name is at most 200 bytes of
// UTF-8 without control characters, a file's name is any bytes: what doesn't fit, and the percent sign, becomes %XX.
// A name that is too long even so is cut, and ends in %~ and a hash of the whole.
func PartitionName(prefix, base string) string {
	whole := prefix + base
	name := escape(whole)
	if len(name) <= maxName {
		return name
	}
	sum := sha256.Sum256([]byte(whole))
	tail := "%~" + hex.EncodeToString(sum[:16])
	return cutEscaped(name, maxName-len(tail)) + tail
}

// DisplayName is the file's name that PartitionName escaped, or name itself if it isn't PartitionName's. It may hold
// control characters: see Printable.
func DisplayName(name string) string {
	if plain := unescape(name); escape(plain) == name {
		return plain
	}
	return name
}

// Printable is name as it is, or quoted if it holds something that a terminal should not get.
func Printable(name string) string {
	if q := strconv.Quote(name); strings.ContainsFunc(name, unicode.IsControl) || !utf8.ValidString(name) {
		return q
	}
	return name
}

func escape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == '%' || unicode.IsControl(r) || r == utf8.RuneError && n == 1 {
			for _, c := range []byte(s[i : i+n]) {
				b.WriteByte('%')
				b.WriteString(strings.ToUpper(hex.EncodeToString([]byte{c})))
			}
		} else {
			b.WriteString(s[i : i+n])
		}
		i += n
	}
	return b.String()
}

func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if c, err := hex.DecodeString(s[i+1 : i+3]); err == nil {
				b.WriteByte(c[0])
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// cutEscaped cuts an escaped name to at most n bytes, not inside a character or an escape.
func cutEscaped(s string, n int) string {
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	if i := strings.LastIndexByte(s[:n], '%'); i >= 0 && i+3 > n {
		n = i
	}
	return s[:n]
}
