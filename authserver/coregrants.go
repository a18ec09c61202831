package authserver

import (
	"slices"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// editRights are what every grant of editing allows.
var editRights = []string{"edit", "minoredit", "applychangetags", "changetags", "editcontentmodel"}

// coreGrants are the grants of MediaWiki 1.39 and its OAuth extension, with their
// rights ($wgGrantPermissions).
var coreGrants = map[string][]string{
	"basic": {
		"autocreateaccount", "autoconfirmed", "autopatrol", "editsemiprotected", "ipblock-exempt", "nominornewtalk",
		"patrolmarks", "purge", "read", "unwatchedpages", "writeapi",
	},
	"highvolume":     {"bot", "apihighlimits", "noratelimit", "markbotedits"},
	"import":         {"import", "importupload"},
	"editpage":       editRights,
	"editprotected":  append(slices.Clone(editRights), "editprotected"),
	"editmycssjs":    append(slices.Clone(editRights), "editmyusercss", "editmyuserjson", "editmyuserjs"),
	"editmyoptions":  {"editmyoptions", "editmyuserjson"},
	"editinterface":  append(slices.Clone(editRights), "editinterface", "edituserjson", "editsitejson"),
	"editsiteconfig": append(slices.Clone(editRights), "editinterface", "edituserjson", "editsitejson", "editusercss", "edituserjs", "editsitecss", "editsitejs"),
	"createeditmovepage": append(slices.Clone(editRights), "createpage", "createtalk", "delete-redirect", "move", "move-rootuserpages",
		"move-subpages", "move-categorypages", "suppressredirect"),
	"uploadfile":         {"upload", "reupload-own"},
	"uploadeditmovefile": {"upload", "reupload-own", "reupload", "reupload-shared", "upload_by_url", "movefile", "suppressredirect"},
	"patrol":             {"patrol"},
	"rollback":           {"rollback"},
	"blockusers":         {"block", "blockemail"},
	"viewdeleted":        {"browsearchive", "deletedhistory", "deletedtext"},
	"viewrestrictedlogs": {"suppressionlog"},
	"delete": append(slices.Clone(editRights), "browsearchive", "deletedhistory", "deletedtext", "delete", "bigdelete", "deletelogentry",
		"deleterevision", "undelete"),
	"oversight":               {"suppressrevision", "viewsuppressed"},
	"protect":                 append(slices.Clone(editRights), "editprotected", "protect"),
	"viewmywatchlist":         {"viewmywatchlist"},
	"editmywatchlist":         {"editmywatchlist"},
	"sendemail":               {"sendemail"},
	"createaccount":           {"createaccount"},
	"mergehistory":            {"mergehistory"},
	"privateinfo":             {"viewmyprivateinfo"},
	"oauthmanageownclient":    {"mwoauthproposeconsumer", "mwoauthupdateownconsumer", "mwoauthmanagemygrants"},
	"mwoauth-authonly":        nil,
	"mwoauth-authonlyprivate": nil,
}

// CoreGrants returns the grants that MediaWiki and its OAuth extension define in
// a release. Only basic is hidden.
func CoreGrants(release validator.Release) map[string]Grant {
	out := make(map[string]Grant, len(coreGrants))
	for name, rights := range coreGrants {
		if name == "oauthmanageownclient" && release < 36 {
			continue
		}
		out[name] = Grant{Rights: slices.Clone(rights), Hidden: name == "basic"}
	}
	return out
}
