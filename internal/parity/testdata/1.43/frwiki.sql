INSERT INTO user (user_id, user_name) VALUES
(501, 'Alice'),
(502, 'MediaWiki default'),
(503, 'Bob'),
(504, 'Carol'),
(505, 'Mallory'),
(506, 'Dave'),
(507, 'Erin'),
(508, 'Peggy'),
(509, 'Victor'),
(510, 'Hidden'),
(511, 'Zoë Müller 日本'),
(512, 'Newname'),
(513, 'Judy');
INSERT INTO user_groups (ug_user, ug_group, ug_expiry) VALUES
(501, 'bureaucrat', NULL),
(501, 'interface-admin', NULL),
(501, 'sysop', NULL),
(513, 'bot', NULL);
INSERT INTO block_target (bt_id, bt_address, bt_user, bt_user_text, bt_auto, bt_count) VALUES
(1, NULL, 503, 'Bob', 0, 1),
(2, NULL, 504, 'Carol', 0, 1),
(3, NULL, 1001, 'Nobody here', 0, 1);
INSERT INTO block (bl_id, bl_target, bl_timestamp, bl_expiry, bl_deleted, bl_parent_block_id, bl_sitewide) VALUES
(1, 1, '20261125000000', 'infinity', 0, NULL, 1),
(2, 2, '20261125000000', 'infinity', 0, NULL, 0),
(3, 3, '20261125000000', 'infinity', 0, NULL, 1);
