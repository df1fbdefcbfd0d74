package emulator

import (
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
)

// maxListed bounds a page of datasets or tables.
const maxListed = 1000

// pageOf is the part of a list that the request's maxResults and pageToken ask for, at most limit items, and the
// token of the next part, "" if there is none.
func pageOf[T any](req *http.Request, all []T, limit int64) (page []T, next string, err error) {
	from, n, err := pageRange(req, int64(len(all)), limit)
	if err != nil {
		return nil, "", err
	}
	to := from + n
	if to < int64(len(all)) {
		next = pageToken(to)
	}
	return all[from:to], next, nil
}

// pageRange says where the page begins that a request asks for, and how many of total items it holds.
func pageRange(req *http.Request, total, limit int64) (from, n int64, err error) {
	from, err = number(req, "startIndex", 0)
	if err != nil {
		return 0, 0, err
	}
	if token := req.FormValue("pageToken"); token != "" {
		if from, err = readToken(token); err != nil {
			return 0, 0, invalid("Invalid value for: pageToken is not a valid value")
		}
	}
	want, err := number(req, "maxResults", limit)
	if err != nil {
		return 0, 0, err
	}
	from = min(from, total)
	return from, min(want, limit, total-from), nil
}

// number reads a parameter that is a count.
func number(req *http.Request, name string, missing int64) (int64, error) {
	text := req.FormValue(name)
	if text == "" {
		return missing, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, invalid("Invalid value for: %s is not a valid value", name)
	}
	return n, nil
}

// pageToken is opaque to clients: the index of the page's first item. Rows stay where they are, so it stays right.
func pageToken(from int64) string {
	return base64.RawURLEncoding.EncodeToString([]byte("at " + strconv.FormatInt(from, 10)))
}

func readToken(token string) (int64, error) {
	text, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(strings.TrimPrefix(string(text), "at "), 10, 62)
	return int64(n), err
}
