package alicloud

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// direct reaches the instance metadata. It belongs to the machine, so no proxy can know it, and away from Alibaba Cloud nobody answers.
var direct = &http.Client{
	Timeout:       exchange,
	Transport:     &http.Transport{DialContext: (&net.Dialer{Timeout: time.Second}).DialContext, DisableKeepAlives: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// fromMetadata reads the keys of the instance's RAM role; without a name, of the one that it has.
func fromMetadata(ctx context.Context, base, role string) (keys, error) {
	const path = "/latest/meta-data/ram/security-credentials/"
	token, err := metadata(ctx, http.MethodPut, base+"/latest/api/token", "X-Aliyun-Ecs-Metadata-Token-Ttl-Seconds", "60")
	if err != nil {
		var answered refused
		if !errors.As(err, &answered) {
			return keys{}, err // nobody is there; else it is an instance without the hardened mode
		}
		token = ""
	}
	const header = "X-Aliyun-Ecs-Metadata-Token"
	if role == "" {
		if role, err = metadata(ctx, http.MethodGet, base+path, header, token); err != nil {
			return keys{}, fmt.Errorf("which RAM role has this instance: %w", err)
		}
		if role == "" || strings.ContainsAny(role, "\r\n/<") {
			return keys{}, errors.New("the instance metadata names no RAM role")
		}
	}
	body, err := metadata(ctx, http.MethodGet, base+path+url.PathEscape(role), header, token)
	if err != nil {
		return keys{}, fmt.Errorf("the keys of the RAM role %q: %w", role, err)
	}
	var answer struct {
		Code string
		granted
	}
	if json.Unmarshal([]byte(body), &answer) != nil {
		return keys{}, errors.New("the instance metadata answers with what is no JSON")
	}
	if answer.Code != "Success" {
		return keys{}, fmt.Errorf("the instance metadata has no keys of the RAM role %q: code %q", role, clip(answer.Code))
	}
	return answer.keys()
}

// refused is an answer other than 200.
type refused int

func (r refused) Error() string {
	return fmt.Sprintf("the instance metadata answers with status %d", int(r))
}

func metadata(ctx context.Context, method, address, header, value string) (string, error) {
	r, err := http.NewRequestWithContext(ctx, method, address, nil)
	if err != nil {
		return "", errors.New("the address of the instance metadata is not one")
	}
	if value != "" {
		r.Header.Set(header, value)
	}
	status, body, err := exchangeWith(direct, r)
	if err != nil {
		return "", err
	}
	if status != http.StatusOK {
		return "", refused(status)
	}
	return strings.TrimSpace(string(body)), nil
}

// bare takes the address off an error of net/http.
func bare(err error) error {
	var e *url.Error
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}
