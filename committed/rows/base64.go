package rows

const (
	noSextet  = 0xff
	base64Std = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	base64URL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
)

// sextets has the value of each byte in either alphabet of RFC 4648; which one a text uses doesn't
// matter, its bytes are the same.
var sextets = func() (t [256]byte) {
	for i := range t {
		t[i] = noSextet
	}
	for i := range 64 {
		t[base64Std[i]], t[base64URL[i]] = byte(i), byte(i)
	}
	return t
}()

var notBase64 = problem{BadValue, "not BYTES: want base64"}

// decodeBase64 appends to dst the bytes that src stands for, in the standard or the URL alphabet,
// padded or not. Line ends, and bits set behind the last byte, are refused. src may be what stands
// in dst's memory behind its length: writing never overtakes reading. (encoding/base64 promises
// nothing of the sort and skips line ends.)
func decodeBase64(dst, src []byte) ([]byte, problem) {
	if n := len(src); n%4 == 0 && n > 0 && src[n-1] == '=' {
		src = src[:n-1]
		if src[n-2] == '=' {
			src = src[:n-2]
		}
	}
	for len(src) >= 4 {
		a, b, c, d := sextets[src[0]], sextets[src[1]], sextets[src[2]], sextets[src[3]]
		if a|b|c|d >= 64 {
			return dst, notBase64
		}
		src = src[4:]
		dst = append(dst, a<<2|b>>4, b<<4|c>>2, c<<6|d)
	}
	switch len(src) {
	case 0:
		return dst, problem{}
	case 2:
		a, b := sextets[src[0]], sextets[src[1]]
		if a|b >= 64 || b<<4 != 0 {
			return dst, notBase64
		}
		return append(dst, a<<2|b>>4), problem{}
	case 3:
		a, b, c := sextets[src[0]], sextets[src[1]], sextets[src[2]]
		if a|b|c >= 64 || c<<6 != 0 {
			return dst, notBase64
		}
		return append(dst, a<<2|b>>4, b<<4|c>>2), problem{}
	}
	return dst, notBase64
}
