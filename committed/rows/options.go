package rows

// Option changes what Compile makes of a schema.
type Option func(*options)

type options struct {
	ignoreUnknown bool
	jsonText      bool
}

// IgnoreUnknownFields makes Append skip fields that the table has no column for, at any depth. Their
// values must still be JSON. Encoder.Ignored counts them.
func IgnoreUnknownFields() Option { return func(o *options) { o.ignoreUnknown = true } }

// JSONAsText makes a JSON column take only a string whose content is a JSON document, as
// JsonStreamWriter does; {"j":"[1,2]"} is an array then. Without it any JSON value stands for itself,
// as in load jobs; {"j":"[1,2]"} is a string then.
func JSONAsText() Option { return func(o *options) { o.jsonText = true } }
