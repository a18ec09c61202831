package authserver

import (
	"context"
	"net/netip"
	"slices"
	"strconv"
)

// statement writes what /identify and the profile resource tell of a user, in
// MediaWiki's order. Rights are cut to the grants if ofGrants is true, which the
// profile does and /identify does not.
func (s *Server) statement(ctx context.Context, user *User, grants GrantList, ofGrants bool) ([]claim, error) {
	sub := claim{"sub", s.statedSubject(user.CentralID)}
	if user.Hidden.After(s.now()) {
		return []claim{sub, {"blocked", true}}, nil
	}
	editCount, groups, rights, err := s.publicData(ctx, user)
	if err != nil {
		return nil, err
	}
	if rights != nil && ofGrants {
		rights = s.allowed(rights, grants)
	}
	return append([]claim{sub}, s.tell(&person{
		Profile: user.Profile, name: user.Name, editCount: editCount, groups: groups, rights: rights,
		blocked: max(user.Blocked, user.PartlyBlocked).After(s.now()), registered: registered(user),
	}, grants)...), nil
}

// anonymousProfile is the profile of a client's own token up to MediaWiki 1.45: that
// of somebody who is not signed in, at the client's address.
func (s *Server) anonymousProfile(ctx context.Context, address netip.Addr, grants GrantList) ([]claim, error) {
	nobody := person{name: address.Unmap().String(), registered: false, groups: []string{"*"}}
	nobody.HasPrivate = true // there is nothing to hide
	if s.public != nil {
		p, err := s.public.PublicUser(ctx, "")
		if err != nil {
			return nil, err
		}
		nobody.rights = append([]string{}, s.allowed(p.Rights, grants)...)
	}
	sub := "0"
	if s.cfg.Policy.CentralIDs() {
		sub = "" // a visitor has no central id
	}
	return append([]claim{{"sub", sub}}, s.tell(&nobody, grants)...), nil
}

// person is what a statement tells of somebody.
type person struct {
	Profile
	name       string
	editCount  int64
	blocked    bool
	registered any
	groups     []string
	rights     []string // nil: not known
}

func (s *Server) tell(p *person, grants GrantList) []claim {
	out := []claim{{"username", p.name}, {"editcount", p.editCount}, {"confirmed_email", p.EmailConfirmed}}
	if s.cfg.Policy.Release >= 42 {
		out = append(out, claim{"email_verified", p.EmailConfirmed})
	}
	out = append(out, claim{"blocked", p.blocked}, claim{"registered", p.registered}, claim{"groups", p.groups})
	if p.rights != nil {
		out = append(out, claim{"rights", p.rights})
	}
	out = append(out, claim{"grants", grants})
	if p.HasPrivate && s.showsPrivate(grants) {
		email := p.Email
		if !p.EmailConfirmed && s.cfg.Policy.Release >= 42 {
			email = ""
		}
		out = append(out, claim{"realname", p.RealName}, claim{"email", email})
	}
	return out
}

// statedSubject is the sub of a statement: the central id, as a text from MediaWiki
// 1.39 on. It never has the form of an access token's sub.
func (s *Server) statedSubject(centralID uint64) any {
	if s.cfg.Policy.Release < 39 {
		return centralID
	}
	return strconv.FormatUint(centralID, 10)
}

// registered is the date of registration, or null where the wiki does not know it.
func registered(user *User) any {
	if user.Profile.Registered == "" {
		return nil
	}
	return user.Profile.Registered
}

// publicData asks the wiki for what it alone knows. Without it the tables answer:
// the groups that are stored, and no rights.
func (s *Server) publicData(ctx context.Context, user *User) (editCount int64, groups, rights []string, err error) {
	if s.public == nil {
		groups := []string{}
		for _, g := range user.Groups {
			if g.Expires.After(s.now()) {
				groups = append(groups, g.Name)
			}
		}
		return user.Profile.EditCount, groups, nil, nil
	}
	p, err := s.public.PublicUser(ctx, user.Name)
	return p.EditCount, p.Groups, append([]string{}, p.Rights...), err
}

// allowed returns the rights that the grants allow, in their order.
func (s *Server) allowed(rights []string, grants GrantList) []string {
	may := map[string]bool{}
	for _, name := range grants.Names {
		for _, right := range s.cfg.Grants[name].Rights {
			may[right] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(rights), func(right string) bool { return !may[right] })
}

// showsPrivate reports whether the grants let an app see e-mail and real name.
func (s *Server) showsPrivate(grants GrantList) bool {
	return slices.ContainsFunc(grants.Names, func(name string) bool {
		return name == "mwoauth-authonlyprivate" || slices.Contains(s.cfg.Grants[name].Rights, "viewmyprivateinfo")
	})
}
