package emulator

import (
	"bytes"
	"net/url"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
)

// route finds out which stream a request is for, and attaches the connection with its first one.
func (c *connection) route(req *request) error {
	st := c.stream.Load()
	switch {
	case st == nil:
		return c.first(req)
	case req.unsupported != "":
		return unsupported(st.name, req.unsupported)
	case req.stream == "" && c.named:
		return errorf(codes.InvalidArgument, st.name, "The write stream must be specified on a multiplexed connection.")
	case req.stream != "" && req.stream != c.target && req.stream != st.name:
		return c.otherStream(st, req.stream)
	}
	if st.isDefault() && req.hasSchema && !bytes.Equal(req.schema, c.form.writer.raw) { // case 66; ignored otherwise: 65
		c.named = true
		return nilable(c.match(st, req.schema))
	}
	return nil
}

// otherStream answers a request that names another stream than the connection's (case 67).
func (c *connection) otherStream(st *stream, name string) error {
	if _, id, ok := splitStream(name); st.isDefault() && ok && id == defaultID {
		return unsupported(name, "several streams on one connection")
	}
	return errorf(codes.InvalidArgument, name, "A connection of the stream %s can't append to another stream.", st.name)
}

func (c *connection) first(req *request) error {
	switch {
	case req.stream == "":
		return errorf(codes.InvalidArgument, "", "The first request must specify the write stream.") // case 12
	case req.unsupported != "":
		return unsupported(req.stream, req.unsupported)
	}
	if err := c.routed(req.stream); err != nil {
		return err
	}
	st, err := c.srv.lookup(req.stream)
	if err != nil {
		return err
	}
	on := occasion{table: st.table.name, stream: st.name, streamOrdinal: st.ordinal, request: st.opens.Add(1) - 1}
	for _, f := range c.srv.faults.fire(atOpen, on) {
		return f.answer(st.name, errorf(codes.Unavailable, "", "The service is currently unavailable."))
	}
	if !req.hasSchema {
		return errorf(codes.InvalidArgument, st.name, "The first request must specify the writer schema.") // case 13
	}
	if err := st.there(); err != nil {
		return err
	}
	c.backend = c.srv.newBackend(st, on.request)
	if err := c.match(st, req.schema); err != nil {
		return err
	}
	c.target = req.stream
	again, err := st.attach(c)
	if err != nil {
		return err
	}
	c.stream.Store(st)
	if again {
		for _, f := range c.srv.faults.fire(atReconnect, on) {
			st.mu.Lock()
			c.stale.checks, c.stale.lag = max(f.Checks, 1), max(f.Lag, 1)
			st.mu.Unlock()
		}
	}
	return nil
}

// match makes raw the connection's writer schema, matched with the table's as its backend knows it.
func (c *connection) match(st *stream, raw []byte) *apiError {
	w, err := c.srv.store.intern(raw)
	if err != nil {
		return errorf(codes.InvalidArgument, st.name, "Invalid proto schema: BqMessage.proto: %v", err)
	}
	form, mismatch := c.backend.match(st, w, now())
	if mismatch != nil {
		return mismatch
	}
	c.form = form
	return nil
}

// routed checks the routing header where it is required (case 92): it names the stream, or the table's location as
// connections of default streams do.
func (c *connection) routed(stream string) error {
	if !c.srv.opt.RequireRouting {
		return nil
	}
	tableName, _, _ := splitStream(stream)
	project, _, _ := strings.Cut(tableName, "/datasets/")
	md, _ := metadata.FromIncomingContext(c.rpc.Context())
	for _, header := range md.Get("x-goog-request-params") {
		params, err := url.ParseQuery(header)
		if err != nil {
			continue
		}
		if params.Get("write_stream") == stream ||
			params.Get("write_location") == project+"/locations/"+c.srv.opt.Location {
			return nil
		}
	}
	return errorf(codes.PermissionDenied, "",
		"Permission 'TABLES_UPDATE_DATA' denied on resource '%s' (or it may not exist).", tableName)
}
