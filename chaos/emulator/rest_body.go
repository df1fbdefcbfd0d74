package emulator

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"reflect"
	"strings"
)

// readResource decodes a request's body into the resource that into points to. With PATCH it is merged with what
// base, a resource of the same type, says (RFC 7396: null deletes, objects merge, lists replace). Unknown fields are
// ignored: a client may be newer than this emulator.
func readResource(req *http.Request, base, into any) error {
	text, err := io.ReadAll(req.Body)
	if err != nil {
		if tooLong := (*http.MaxBytesError)(nil); errors.As(err, &tooLong) {
			return restErrorf(http.StatusRequestEntityTooLarge, "uploadTooLarge", "The request is longer than %d bytes.", tooLong.Limit)
		}
		return invalid("The request could not be read: %v.", err)
	}
	body, err := object(text)
	if err != nil {
		return restErrorf(http.StatusBadRequest, "parseError", "Invalid JSON payload received. %v", err)
	}
	if req.Method == http.MethodPatch {
		text, err := json.Marshal(base)
		if err != nil {
			return err
		}
		old, err := object(text)
		if err != nil {
			return err
		}
		body = merge(old, body)
	}
	if text, err = json.Marshal(quoteIntegers(body, reflect.TypeOf(into))); err != nil {
		return err
	}
	if err := json.Unmarshal(text, into); err != nil {
		return restErrorf(http.StatusBadRequest, "parseError", "Invalid JSON payload received. %v", err)
	}
	return nil
}

func object(text []byte) (fields map[string]any, err error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	if err := dec.Decode(&fields); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errors.New("there is more after the object")
	}
	return fields, nil
}

func merge(old, patch map[string]any) map[string]any {
	if old == nil {
		old = map[string]any{}
	}
	for name, value := range patch {
		switch value := value.(type) {
		case nil:
			delete(old, name)
		case map[string]any:
			sub, _ := old[name].(map[string]any)
			old[name] = merge(sub, value)
		default:
			old[name] = value
		}
	}
	return old
}

// quoteIntegers writes a number as a string where the resource's type t wants a 64-bit integer: as JSON's own numbers
// are imprecise the API returns such integers as strings, but takes them either way.
func quoteIntegers(value any, t reflect.Type) any {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch v := value.(type) {
	case []any:
		if t.Kind() == reflect.Slice {
			for i := range v {
				v[i] = quoteIntegers(v[i], t.Elem())
			}
		}
	case map[string]any:
		if t.Kind() != reflect.Struct {
			break
		}
		for i := range t.NumField() {
			field := t.Field(i)
			name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
			sub, present := v[name]
			if number, is := sub.(json.Number); is && strings.HasSuffix(options, "string") {
				v[name] = number.String()
			} else if present {
				v[name] = quoteIntegers(sub, field.Type)
			}
		}
	}
	return value
}

// etagOf is the same for the same resource and another one for every other.
func etagOf(resource any) string {
	text, err := json.Marshal(resource)
	if err != nil {
		panic("emulator: etag: " + err.Error()) // it was decoded from JSON
	}
	sum := sha256.Sum256(text)
	return base64.StdEncoding.EncodeToString(sum[:16])
}

// matches says whether a change may go on a resource with that etag.
func matches(req *http.Request, etag string) bool {
	want := req.Header.Get("If-Match")
	return want == "" || want == "*" || want == etag
}
