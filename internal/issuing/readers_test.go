package issuing_test

import (
	"os/exec"
	"strings"
	"testing"
)

// statements are of the kinds that recorded cases hold, and some that MariaDB reads
// in its own way.
var statements = []string{
	`SELECT oaac_id, oaac_accepted, oaac_grants FROM oauth_accepted_consumer WHERE oaac_user_id=1 AND oaac_consumer_id>1 ORDER BY oaac_id;`,
	"select count(*) from `user` where user_name = \"Alice\"",
	`SELECT oarc_rsa_key FROM oauth_registered_consumer WHERE oarc_id IN (17, 18) AND oarc_rsa_key <> '' -- of both`,
	`SELECT oarc_callback_is_prefix, oarc_email_authenticated FROM oauth_registered_consumer WHERE oarc_callback_is_prefix = 1 ORDER BY oarc_id`,
	`UPDATE user SET user_email_authenticated=NULL, user_registration='20260102030405' WHERE user_id=3;
	 SELECT user_email_authenticated, user_registration, user_name FROM user WHERE user_registration = 20260102030405`,
	`SELECT ipb_address, ipb_expiry FROM ipblocks WHERE ipb_expiry='infinity' OR ipb_expiry < '20250101000000' ORDER BY ipb_id`,
	`SELECT user_id FROM user WHERE user_registration BETWEEN '20260104000000' AND '20260106235959' ORDER BY user_id`,
	`UPDATE user SET user_real_name='it''s \'a\' \\ \"b\"\t;' WHERE user_name=x'416c696365' # one user
	 ; SELECT user_real_name FROM user WHERE user_id = 3`,
	`UPDATE user SET user_real_name=0x5a6fc3ab WHERE user_name='Zoë Ünicode'; SELECT user_real_name, 'Zoë' FROM user WHERE user_id=9 && 1=1`,
	`INSERT INTO oauth_accepted_consumer (oaac_wiki,oaac_user_id,oaac_consumer_id,oaac_access_token,oaac_access_secret,oaac_grants,oaac_accepted,oaac_oauth_version)
	 VALUES ('dewiki',3,1,'at','as','["useoauth"]','20260111000000',1), ('frwiki',3,1,'bt','bs','[]','20260111000001',1);
	 SELECT oaac_wiki, oaac_accepted FROM oauth_accepted_consumer WHERE oaac_access_token IN ('at', 'bt') ORDER BY oaac_id`,
	`INSERT INTO ipblocks (ipb_id,ipb_address,ipb_user,ipb_timestamp,ipb_expiry,ipb_range_start,ipb_range_end) VALUES (99,'Alice',3,'20260101000000','infinity','','');
	 INSERT INTO ipblocks (ipb_address,ipb_user,ipb_timestamp,ipb_expiry,ipb_range_start,ipb_range_end) VALUES ('Bob',4,'20260101000000','20990101000000','','');
	 SELECT ipb_id, ipb_sitewide, ipb_parent_block_id, ipb_expiry FROM ipblocks WHERE ipb_id > 50 ORDER BY ipb_id; DELETE FROM ipblocks WHERE ipb_id IN (99, 100)`,
	`INSERT INTO user_groups VALUES (3, 'bot', '20300101000000'); INSERT IGNORE INTO user_groups VALUES (3, 'bot', NULL); SELECT * FROM user_groups WHERE ug_user=3`,
	`INSERT INTO oauth2_access_tokens (oaat_identifier,oaat_expires,oaat_acceptance_id,oaat_revoked)
	 SELECT 'jti', '20300101000000', oaac_id, 0 FROM oauth_accepted_consumer WHERE oaac_access_token = 'at';
	 SELECT oaat_expires, oaat_revoked FROM oauth2_access_tokens WHERE oaat_identifier='jti'`,
	`UPDATE oauth2_access_tokens SET oaat_revoked=1, oaat_expires='20200101000000' WHERE oaat_identifier LIKE 'j%' AND oaat_identifier NOT LIKE 'J\_i';
	 SELECT oaat_expires, oaat_revoked FROM oauth2_access_tokens`,
	`DELETE FROM oauth2_access_tokens WHERE oaat_acceptance_id IN (SELECT oaac_id FROM oauth_accepted_consumer WHERE oaac_user_id=3 AND oaac_consumer_id=1);
	 DELETE FROM oauth_accepted_consumer WHERE oaac_user_id=3 AND oaac_consumer_id=1; SELECT COUNT(*) FROM oauth2_access_tokens`,
	`UPDATE oauth_registered_consumer SET oarc_stage=4, oarc_deleted=1, oarc_grants='["useoauth"]', oarc_stage_timestamp='20260201000000' WHERE oarc_id=33;
	 SELECT oarc_stage, oarc_deleted, oarc_grants, oarc_stage_timestamp, oarc_oauth2_allowed_grants FROM oauth_registered_consumer WHERE oarc_id=33`,
	`START TRANSACTION; DELETE FROM user_groups; ROLLBACK; SELECT COUNT(*) FROM user_groups`,
	`/* away and back */ RENAME TABLE oauth2_access_tokens TO gone; SELECT COUNT(*) FROM gone; RENAME TABLE gone TO oauth2_access_tokens`,
	`SELECT user_id = 3, NULL FROM user WHERE user_id <= 4 ORDER BY user_id LIMIT 2`,
}

// TestReaders has the rows of three databases printed alike: by MariaDB's own
// client, and by ours.
func TestReaders(t *testing.T) {
	commands := map[string]string{}
	for kind, open := range kindsOfDatabase {
		commands[kind] = open(t, recordedAddress).command
	}
	for _, statement := range statements {
		want := runCommand(t, commands["MariaDB"], statement)
		if want == "" {
			t.Errorf("no rows to compare: %s", statement)
		}
		for _, kind := range []string{"SQLite", "PostgreSQL"} {
			if got := runCommand(t, commands[kind], statement); got != want {
				t.Errorf("%s: %s\n got %q\nwant %q", kind, statement, got, want)
			}
		}
	}
}

// runCommand gives a command a text, as replay.py does.
func runCommand(t *testing.T, command, input string) string {
	t.Helper()
	words := strings.Fields(command)
	cmd := exec.CommandContext(t.Context(), words[0], words[1:]...)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.Output()
	if err != nil {
		t.Errorf("%s: %v", input, err)
	}
	return string(out)
}
