package authserver

import (
	"context"
	"slices"
)

// statement writes what /identify and the profile resource tell of a user, in
// MediaWiki's order. Rights are cut to the grants if ofGrants is true, which the
// profile does and /identify does not.
func (s *Server) statement(ctx context.Context, user *User, grants GrantList, ofGrants bool) ([]claim, error) {
	out := []claim{{"sub", s.subjectOf(user)}}
	if user.Hidden.After(s.now()) {
		return append(out, claim{"blocked", true}), nil
	}
	editCount, groups, rights, err := s.publicData(ctx, user)
	if err != nil {
		return nil, err
	}
	out = append(out,
		claim{"username", user.Name},
		claim{"editcount", editCount},
		claim{"confirmed_email", user.Profile.EmailConfirmed},
	)
	if s.cfg.Policy.Release >= 42 {
		out = append(out, claim{"email_verified", user.Profile.EmailConfirmed})
	}
	out = append(out,
		claim{"blocked", max(user.Blocked, user.PartlyBlocked).After(s.now())},
		claim{"registered", registered(user)},
		claim{"groups", groups},
	)
	if rights != nil {
		if ofGrants {
			rights = s.allowed(rights, grants)
		}
		out = append(out, claim{"rights", rights})
	}
	out = append(out, claim{"grants", grants})
	if user.Profile.HasPrivate && s.showsPrivate(grants) {
		out = append(out, claim{"realname", user.Profile.RealName})
		if user.Profile.EmailConfirmed || s.cfg.Policy.Release < 42 {
			out = append(out, claim{"email", user.Profile.Email})
		} else {
			out = append(out, claim{"email", ""})
		}
	}
	return out, nil
}

// subjectOf is the sub of a statement: the central id as text.
func (s *Server) subjectOf(user *User) string { return s.cfg.Policy.IssuedSubject(user.CentralID) }

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
